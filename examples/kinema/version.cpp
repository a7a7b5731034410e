// examples/kinema/version.cpp - what --version and --list-devices print.
#include "program.hpp"

#include <kinema/core/config.hpp>
#include <kinema/core/error.hpp>
#include <kinema/runtime/cpu_features.hpp>
#include <kinema/runtime/devices.hpp>

namespace program {

constinit const unsigned built_for_features = kinema::compiled_cpu_features;

std::vector<std::pair<std::string, std::string>> build_facts() {
  const std::string compiler =
#if defined(__clang__)
      "clang " __clang_version__;
#else
      "g++ " __VERSION__;
#endif
  const auto with = [](const char* name, int on) { return kinema::cat(on ? "+" : "-", name); };
  return {{"kinema", KINEMA_VERSION}, {"compiler", compiler}, {"instruction_set", KINEMA_STRING(KINEMA_ISA)},
          {"libraries", kinema::cat(with("onednn", KINEMA_WITH_ONEDNN), " ", with("eigen", KINEMA_WITH_EIGEN), " ", with("xsimd", KINEMA_WITH_XSIMD), " ",
                                    with("openmp", KINEMA_WITH_OPENMP), " ", with("cuda", KINEMA_WITH_CUDA), " ", with("ffmpeg", KINEMA_WITH_FFMPEG))}};
}

std::string version_text() {
  const auto facts = build_facts();
  return kinema::cat("kinema ", facts[0].second, "\nbuilt with ", facts[1].second, " for ", facts[2].second, "\nlibraries ", facts[3].second, "\n");
}

std::string devices_text() {
  std::string out;
  for (const kinema::DeviceDescription& d : kinema::list_devices()) out += kinema::cat(kinema::to_string(d), "\n");
  return out;
}

}  // namespace program
