// tests/program/bad_input/cases_arguments.cpp - commands, flags, numbers and words, sizes of clips, and aliases.
#include "bytes.hpp"
#include "case.hpp"

namespace bad_input {
namespace {

/// A numeric flag, a value that works, and where.
struct Numeric { const char* flag; Words command; bool whole; Words more_refused, accepted; };

std::vector<Numeric> numerics() {
  const Words encode = {"encode", "--model", "model", "--input", "made/v.mp4", "--output", "l.safetensors", "--quiet"};
  const Words decode = {"decode", "--model", "model", "--latents", "made/l.safetensors", "--output", "v.npy", "--quiet"};
  const Words plan = {"plan", "--model", "model"};
  return {
      {"--steps", {"generate", "--model", "model", "--prompt", "a", "--output", "v.npy", "--quiet"}, true, {"0", "1001", "-1"}, {"1", "007"}},
      {"--seed", generate({"--output", "v.npy"}), true, {"-1", "18446744073709551616", "99999999999999999999999"}, {"0", "4294967296", "9223372036854775807"}},
      {"--cfg-scale", generate({"--output", "v.npy"}), false, {"-1", "-0.5", "1e999"}, {"0", "1", "6", "7.5", "6.", ".5", "1e1"}},
      {"--num-frames", generate({"--output", "v.npy"}), true, {"0", "-9", "2", "3", "4", "6", "7", "8", "10", "16", "1000000", "9223372036854775807"}, {"1", "9", "17"}},
      {"--height", generate({"--output", "v.npy"}), true, {"0", "-64", "1", "8", "15", "17", "40", "100", "2147483647"}, {"16", "64", "80"}},
      {"--width", generate({"--output", "v.npy"}), true, {"0", "-64", "1", "8", "15", "17", "40", "100", "2147483647"}, {"16", "64", "80"}},
      {"--fps", generate({"--output", "v.npy"}), false, {"0", "-8", "1e9"}, {"8", "12.5", "23.976"}},
      {"--strength", generate({"--output", "v.npy", "--init-video", "made/v.mp4"}), false, {"0", "-0.1", "1.01", "2"}, {"1", "0.5"}},
      {"--threads", generate({"--output", "v.npy"}), true, {"0", "-1", "100000"}, {"1", "2", "3"}},
      {"--vae-tile-size", generate({"--output", "v.npy", "--vae-tiling", "on"}), true, {"0", "-48", "48x", "x48", "48x48x48", "48X40", "1", "7"}, {"48x40"}},
      {"--checkpoint-every", generate({"--output", "v.npy"}), true, {"0", "-1"}, {"1", "5"}},
      {"--preview", generate({"--output", "v.npy"}), true, {"0", "-1"}, {"1"}},
      {"--sample-seed", encode, true, {"-1", "18446744073709551616"}, {"0", "7"}},
      {"--fps", decode, false, {"0", "-8"}, {"24"}},
      {"--num-frames", plan, true, {"0", "2", "-1"}, {"9", "49"}},
      {"--height", plan, true, {"0", "17", "-16"}, {"480"}},
      {"--max-ram", plan, false, {"0", "-1GiB", "1XB", "GiB", "1 2GiB", "infGiB"}, {"64GiB", "9000000KiB", "80000MiB"}},
  };
}

}  // namespace

Words generate(std::initializer_list<std::string> more) {
  Words words = {"generate", "--model", "model", "--prompt", "a", "--steps", "2", "--quiet"};
  words.insert(words.end(), more.begin(), more.end());
  if (std::find(words.begin(), words.end(), "--output") == words.end()) words.insert(words.end(), {"--output", "v.npy"});
  return words;
}
Words tokenize(std::initializer_list<std::string> more) {
  Words words = {"tokenize", "--model", "model"};
  words.insert(words.end(), more.begin(), more.end());
  if (more.size() == 0) words.insert(words.end(), {"--prompt", "x"});
  return words;
}

void add_arguments(Cases& cases) {
  const auto refuse = [&](const std::string& name, const Words& words, const Words& arguments) { cases.push_back({name, {2}, words, arguments}); };
  const auto accept = [&](const std::string& name, const Words& words, const Words& arguments) {
    cases.push_back({name, {0}, words, arguments});
    cases.back().may_write = true;
  };
  const auto plus = [](Words a, const Words& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
  };

  for (const Numeric& n : numerics()) {
    Words bad = {"", " ", "x", "0x10", "5x", "5 ", " 5", "1,5", "nan", "NaN", "inf", "-inf", "Infinity", "--5", "5-", "1_000", "٣", "5\n", "5\t", "1e", "e5", "+", "-", "0b1", "1'000", "５"};
    if (n.whole) bad.insert(bad.end(), {"5.0", "1e1", "2.5", "1.", "99999999999999999999", "-99999999999999999999"});
    bad.insert(bad.end(), n.more_refused.begin(), n.more_refused.end());
    for (const std::string& value : bad) {
      const std::string shown = value == "5\n" ? "5\\x0a" : value == "5\t" ? "5\\x09" : value;
      cases.push_back({std::string(n.command[0]) + " " + n.flag + "=" + shown, {2}, {n.flag, shown}, plus(n.command, {std::string(n.flag) + "=" + value})});
    }
    for (const std::string& value : n.accepted) {
      Words command = n.command;
      if (n.command[0] == "generate" && std::string(n.flag) == "--num-frames") command.push_back("--no-contact-sheet");
      accept(n.command[0] + std::string(" accepts ") + n.flag + " " + value, {}, plus(command, {n.flag, value}));
    }
    refuse(n.command[0] + std::string(" ") + n.flag + " without a value", n.flag == std::string("--preview") ? Words{} : Words{n.flag}, plus(n.command, {n.flag, n.flag}));
  }

  // Words of a list; the allowed ones are named.
  for (const auto& [flag, words] : std::vector<std::pair<std::string, Words>>{{"--scheduler", {"ddim", "dpm"}},
                                                                              {"--dtype", {"auto", "f32", "bf16", "f16"}},
                                                                              {"--rng", {"torch-cpu", "philox"}},
                                                                              {"--device", {"cpu", "cuda"}},
                                                                              {"--vae-tiling", {"auto", "on", "off"}},
                                                                              {"--dynamic-cfg", {"reference", "cosine", "off"}},
                                                                              {"--stream-weights", {"auto", "on", "off"}}}) {
    for (const std::string& bad : {std::string("x"), std::string(""), std::string("EULER"), words[0] + "x", words[0] + " ", " " + words[0], std::string("é\x1b[1m")}) {
      Words expected = words;
      expected.push_back(flag);
      if (bad.find('\x1b') == std::string::npos) expected.push_back("\"" + bad + "\"");
      refuse(flag + "=" + (bad.find('\x1b') == std::string::npos ? bad : "escape"), expected, generate({flag + "=" + bad}));
    }
  }
  for (const char* word : {"ddim", "dpm"}) accept(std::string("--scheduler ") + word, {}, generate({"--scheduler", word}));
  for (const char* word : {"auto", "f32", "bf16", "f16", "float32", "bfloat16", "float16"}) accept(std::string("--dtype ") + word, {}, generate({"--dtype", word}));
  for (const char* word : {"torch-cpu", "philox"}) accept(std::string("--rng ") + word, {}, generate({"--rng", word}));
  accept("--vae-tiling alone", {}, {"generate", "--vae-tiling", "--vae-tile-size", "48x40", "--model", "model", "--prompt", "a", "--steps", "1", "--output", "v.npy"});
  accept("--device cpu", {}, generate({"--device", "cpu"}));
  for (const char* word : {"cuda", "cuda:0"}) cases.push_back({std::string("--device ") + word, {5}, {"cuda"}, generate({"--device", word})});
  for (const char* word : {"cuda:9", "cuda:1023"}) cases.push_back({std::string("--device ") + word, {2, 5}, {word}, generate({"--device", word})});
  for (const char* word : {"cuda:", "cuda:-1", "cuda:x", "cuda:99999999999", "cuda0", "CPU", "gpu", "cpu:0", "cuda:0x1", "cuda: 0"}) refuse(std::string("--device ") + word, {"--device", word}, generate({"--device", word}));

  // Frames and sizes: the rule or the nearest value is said.
  for (const auto& [value, nearest] : std::vector<std::pair<std::string, std::string>>{{"7", "9"}, {"15", "17"}, {"16", "17"}, {"48", "49"}, {"50", "49"}})
    refuse("nearest to --num-frames " + value, {value, "8N+1", nearest}, generate({"--num-frames", value}));
  for (const char* flag : {"--height", "--width"})
    for (const auto& [value, nearest] : std::vector<std::pair<std::string, std::string>>{{"60", "64"}, {"488", "480"}, {"100", "96"}}) refuse(std::string("nearest to ") + flag + " " + value, {flag, value, "16"}, generate({flag, value}));
  accept("five frames", {"warning:", "8 frames"}, generate({"--num-frames", "5"}));
  accept("thirteen frames", {"warning:", "16 frames"}, generate({"--num-frames", "13"}));
  for (const auto& [frames, side] : std::vector<std::pair<std::string, std::string>>{{"4097", "8192"}, {"1025", "16384"}, {"9", "16384"}, {"8193", "1024"}, {"999993", "999984"}})
    cases.push_back({"absurd size " + frames + " x " + side, {2, 4}, {}, generate({"--num-frames", frames, "--height", side, "--width", side})});

  // Kinds of models and inputs.
  refuse("an image for a text-to-video model", {"--init-image"}, generate({"--init-image", "made/still.png"}));
  refuse("no image for an image-to-video model", {"--init-image", "required"}, {"generate", "--model", "i2v", "--prompt", "a", "--output", "v.npy"});
  refuse("a video for an image-to-video model", {"--init-video"}, {"generate", "--model", "i2v", "--prompt", "a", "--init-video", "made/v.mp4", "--output", "v.npy"});
  refuse("image and video", {"--init-image", "--init-video"}, generate({"--init-image", "made/still.png", "--init-video", "made/v.mp4"}));
  refuse("strength without a video", {"--strength"}, generate({"--strength", "0.5"}));

  // The command line itself.
  refuse("no command", {"command"}, {});
  refuse("an unknown command", {"frobnicate"}, {"frobnicate"});
  refuse("a command in capitals", {"Generate"}, {"Generate"});
  refuse("an empty command", {}, {""});
  refuse("two commands", {"tokenize"}, {"generate", "tokenize"});
  refuse("an unknown flag", {"--frobnicate"}, generate({"--frobnicate"}));
  refuse("an unknown flag with a value", {"--frobnicate"}, generate({"--frobnicate=1"}));
  refuse("an unknown short flag", {"-x"}, generate({"-x"}));
  refuse("an abbreviated flag", {"--step"}, generate({"--step", "1"}));
  refuse("a flag in capitals", {"--STEPS"}, generate({"--STEPS", "1"}));
  refuse("a flag with one dash", {"not expected"}, generate({"-steps", "1"}));
  refuse("a word without a flag", {"word"}, generate({"word"}));
  refuse("a flag of another command", {"--latents"}, generate({"--latents", "x"}));
  refuse("a flag of generate for tokenize", {"--steps"}, tokenize({"--prompt", "a", "--steps", "1"}));
  refuse("a flag before the command", {}, {"--steps", "1", "generate"});
  refuse("a flag without a value at the end", {"--steps"}, {"generate", "--model", "model", "--prompt", "a", "--output", "v.npy", "--steps"});
  refuse("a value for a switch", {"--quiet"}, generate({"--quiet=perhaps"}));
  refuse("a flag twice", {"--seed"}, generate({"--seed", "1", "--seed", "2"}));
  refuse("a flag twice, as alias", {"--cfg-scale"}, generate({"--cfg-scale", "1", "--guidance_scale", "2"}));
  refuse("control characters in a flag", {"\\x1b"}, generate({"--\x1b[2J"}));
  refuse("control characters in a word", {"\\x1b"}, {"\x1b[31mred\x07"});
  refuse("bytes that are no UTF-8 in a flag", {"\\xff"}, generate({"--\xFF"}));
  refuse("a flag of 100000 bytes", {}, generate({"--" + std::string(100000, 'x')}));
  refuse("a value of 100000 bytes", {"--steps"}, {"generate", "--model", "model", "--prompt", "a", "--output", "v.npy", "--steps=" + std::string(100000, '9')});
  refuse("a thousand words", {}, [] { Words w = {"generate"}; for (int i = 0; i < 1000; ++i) w.push_back("word" + std::to_string(i)); return w; }());
  refuse("model missing", {"--model", "required"}, {"generate", "--prompt", "a", "--output", "v.npy"});
  refuse("output missing", {"--output", "required"}, {"generate", "--model", "model", "--prompt", "a"});
  refuse("input missing", {"--input", "required"}, {"encode", "--model", "model", "--output", "l.safetensors"});
  refuse("latents missing", {"--latents", "required"}, {"decode", "--model", "model", "--output", "v.npy"});
  refuse("preset missing", {"--preset", "required"}, {"init", "--output", "m"});
  refuse("preset unknown", {"cogvideox-2b", "9b"}, {"init", "--preset", "9b", "--output", "m"});
  refuse("plan of nothing", {"--model"}, {"plan"});
  refuse("config and resume", {"--config", "--resume"}, {"generate", "--config", "x.json", "--resume", "x.safetensors"});

  for (const char* command : {"generate", "encode-text", "tokenize", "encode", "decode", "inspect", "plan", "verify", "metadata", "init"}) {
    accept(std::string(command) + " --help", {"Usage"}, {command, "--help"});
    accept(std::string(command) + " -h", {"Usage"}, {command, "-h"});
    if (std::string(command) != "metadata" && std::string(command) != "inspect") refuse(std::string(command) + " without anything", {"--"}, {command});
    refuse(std::string(command) + " with an unknown flag", {"--frobnicate"}, {command, "--frobnicate"});
  }
  accept("--help", {"generate", "tokenize"}, {"--help"});
  accept("-h", {"generate"}, {"-h"});
  accept("--version", {"kinema"}, {"--version"});
  accept("--list-devices", {"cpu"}, {"--list-devices"});
  accept("help behind other flags", {"Usage"}, {"generate", "--model", "nowhere", "--help"});

  // Other spellings of flags.
  for (const Words& alias : std::vector<Words>{{"--num_frames", "1"}, {"--video-frames", "1"}, {"--num-inference-steps", "1"}, {"--num_inference_steps", "1"}, {"--guidance_scale", "1"}, {"--guidance-scale", "1"},
                                               {"--negative_prompt", "x"}, {"-n", "x"}, {"-s", "1"}, {"-H", "64"}, {"-W", "64"}, {"-t", "1"}, {"--type", "f32"}, {"--sampling-method", "dpm"}, {"--use_dynamic_cfg"},
                                               {"--dynamic-cfg"}, {"--enable_tiling=off"}, {"--vae_tiling=off"}, {"--save_latents", "l.safetensors"}, {"--no_contact_sheet"}, {"--max_ram", "64GiB"}}) {
    Words command = {"generate", "--model", "model", "--prompt", "a", "--output", "v.npy", "--quiet"};
    if (alias[0].find("steps") == std::string::npos) command.insert(command.end(), {"--steps", "1"});
    accept("alias " + alias[0], {}, plus(command, alias));
  }
  accept("aliases of paths", {}, {"generate", "--model_path", "model", "-p", "a", "--output_path", "v.npy", "--steps=1", "--quiet"});
  accept("aliases of paths, with hyphens", {}, {"generate", "--model-path", "model", "-p", "a", "--output-path", "v.npy", "--steps=1", "-q"});
  accept("short flags", {}, {"generate", "-m", "model", "-p", "a", "-o", "v.npy", "--steps=1", "-q"});
  for (const char* flag : {"--init-image", "--init-img", "-i", "--init_image", "--image_or_video_path"})
    accept(std::string("alias ") + flag, {}, {"generate", "--model", "i2v", "--prompt", "a", "--steps", "1", "--num-frames", "1", "--output", "v.npy", "--quiet", flag, "made/still.png"});
  for (const char* flag : {"--init-video", "--init_video", "--image_or_video_path"})
    accept(std::string("alias of a video ") + flag, {}, generate({flag, "made/v.mp4"}));
  for (const char* kind : {"t2v"}) accept(std::string("--generate_type ") + kind, {}, generate({"--generate_type", kind}));
  refuse("--generate_type of nothing known", {"t2v", "i2v", "v2v"}, generate({"--generate_type", "x2v"}));
  refuse("--generate_type i2v without an image", {"--init-image"}, generate({"--generate_type", "i2v"}));
}

}  // namespace bad_input
