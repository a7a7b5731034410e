// tests/runtime/devices_test.cpp - listing, naming and demanding devices.
#include <kinema/runtime/devices.hpp>

#include "support/catch.hpp"

using namespace kinema;

TEST_CASE("the CPU is listed first and usable, and every unusable device has a reason") {
  const auto list = list_devices();
  REQUIRE(list.size() >= 2);
  CHECK(list[0].device == Device::cpu());
  CHECK(list[0].usable);
  CHECK(list[0].text.find("kernels: ") != std::string::npos);
  for (const DeviceDescription& d : list) CHECK_FALSE(d.text.empty());
  CHECK_NOTHROW(require_device(Device::cpu()));
}

TEST_CASE("a device that is not there is refused with the reason from the list") {
  const auto list = list_devices();
  for (const DeviceDescription& d : list) {
    if (d.usable) continue;
    CHECK(to_string(d).find("not available: ") != std::string::npos);
    CHECK_THROWS_AS(require_device(d.device), DeviceError);
    CHECK_THROWS_WITH(require_device(d.device), to_string(d.device) + ": " + d.text);
  }
#if !KINEMA_WITH_CUDA
  CHECK_THROWS_WITH(require_device(Device::cuda(2)), "cuda:2: this program was built without CUDA (KINEMA_WITH_CUDA=0)");
  CHECK(best_device() == Device::cpu());
#endif
}

TEST_CASE("a processor without the instructions of the build is named") {
  CHECK(detail::why_no_cpu("avx512", "AVX-512") == "this program was built for avx512, but the processor has no AVX-512");
  CHECK(detail::why_no_cpu("avx2", "").empty());
  CHECK(detail::missing_instructions(cpu_build().isa).empty());
  CHECK(detail::missing_instructions("base").empty());
}

TEST_CASE("devices are spelt cpu, cuda and cuda:N") {
  CHECK(parse_device("cpu") == Device::cpu());
  CHECK(parse_device("cuda") == Device::cuda(0));
  CHECK(parse_device("cuda:12") == Device::cuda(12));
  for (const char* wrong : {"", "cuda:", "cuda:-1", "cuda:1x", "gpu", "CPU", "cuda:1234", "cpu:0"}) CHECK_THROWS_AS(parse_device(wrong), ArgumentError);
  CHECK_THROWS_WITH(parse_device("gp\x1bu"), "device: must be cpu, cuda or cuda:N, got \"gp\\x1bu\"");
}
