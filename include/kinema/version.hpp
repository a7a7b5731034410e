// kinema/version.hpp - version numbers; CMake reads them from here.
#pragma once

#define KINEMA_VERSION_MAJOR 0
#define KINEMA_VERSION_MINOR 1
#define KINEMA_VERSION_PATCH 0
#define KINEMA_VERSION "0.1.0"
