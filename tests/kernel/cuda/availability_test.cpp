// tests/kernel/cuda/availability_test.cpp - what is said when CUDA cannot be used.
#include <kinema/kernel/cuda/detail/availability.hpp>

#include "support/catch.hpp"

using namespace kinema::kernel::cuda;

TEST_CASE("each reason why there is no device has a sentence of its own") {
  CHECK(why_no_device({.status = 0, .count = 1, .driver = 13000, .runtime = 13000}) == "");
  CHECK(why_no_device({.status = 35, .driver = 0, .runtime = 13000}) == "no NVIDIA driver found");
  CHECK(why_no_device({.status = 35, .driver = 12020, .runtime = 13000}) ==
        "the NVIDIA driver supports CUDA 12.2, but this program needs CUDA 13.0: update the driver");
  CHECK(why_no_device({.status = 100, .driver = 13000, .runtime = 13000}) == "an NVIDIA driver was found, but no CUDA device");
  CHECK(why_no_device({.status = 0, .count = 0, .driver = 13000, .runtime = 13000}) == "an NVIDIA driver was found, but no CUDA device");
  CHECK(why_no_device({.status = 100, .driver = 13000, .runtime = 13000, .visible = ""}) ==
        "no CUDA device is visible: CUDA_VISIBLE_DEVICES is \"\"");
  CHECK(why_no_device({.status = 100, .driver = 13000, .runtime = 13000, .visible = "7\n"}) ==
        "no CUDA device is visible: CUDA_VISIBLE_DEVICES is \"7\\x0a\"");
  CHECK(why_no_device({.status = 803, .driver = 13010, .runtime = 13000}) ==
        "the NVIDIA kernel module and the driver library (CUDA 13.1) are of different versions");
  CHECK(why_no_device({.status = 999, .driver = 13000, .runtime = 13000, .error_text = "unknown error"}) ==
        "CUDA could not start: unknown error (error 999)");
}

TEST_CASE("a device index is compared with what is visible") {
  CHECK(why_not_index(0, 1, nullptr) == "");
  CHECK(why_not_index(3, 4, "0,1,2,3") == "");
  CHECK(why_not_index(1, 1, nullptr) == "the only CUDA device here is cuda:0");
  CHECK(why_not_index(4, 4, nullptr) == "there are 4 CUDA devices here, cuda:0 to cuda:3");
  CHECK(why_not_index(-1, 2, "5,6") == "there are 2 CUDA devices here, cuda:0 to cuda:1, CUDA_VISIBLE_DEVICES is \"5,6\"");
}

TEST_CASE("architectures are spelt as the compiler's options") {
  const int built[] = {800, 890, 900};
  CHECK(architectures_text(built, 3) == "sm_80, sm_89, sm_90");
}

TEST_CASE("a failed call is quoted, and the end of the process's CUDA is announced") {
  CHECK(call_failed("cudaSetDevice(7)", 101, "cudaErrorInvalidDevice", "invalid device ordinal") ==
        "cuda: cudaSetDevice(7): invalid device ordinal (cudaErrorInvalidDevice, 101)");
  CHECK(call_failed("cudaStreamSynchronize(stream)", 700, "cudaErrorIllegalAddress", "an illegal memory access was encountered") ==
        "cuda: cudaStreamSynchronize(stream): an illegal memory access was encountered (cudaErrorIllegalAddress, 700)"
        "; the device state is lost, this process cannot use CUDA any more");
}
