// examples/kinema/commands.hpp - the subcommands and the options that they share.
#pragma once

#include <kinema/core/device.hpp>
#include <kinema/core/dtype.hpp>

#include <cstdint>
#include <optional>
#include <string>

namespace CLI { class App; }

namespace program {

/// Text of an option; absent if it was not given. Values are read by the strict functions of arguments.hpp.
using Text = std::optional<std::string>;

/// Adds the subcommand to the command line; parsing it sets `selected` to what runs it.
struct CommandLine;
void add_generate(CommandLine& line);
void add_encode_text(CommandLine& line);
void add_tokenize(CommandLine& line);
void add_encode(CommandLine& line);
void add_decode(CommandLine& line);
void add_inspect(CommandLine& line);
void add_init(CommandLine& line);
void add_metadata(CommandLine& line);
void add_plan(CommandLine& line);
void add_verify(CommandLine& line);

}  // namespace program
