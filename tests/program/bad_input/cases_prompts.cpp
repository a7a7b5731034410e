// tests/program/bad_input/cases_prompts.cpp - every text is a prompt; only what is not UTF-8 is none.
#include "bytes.hpp"
#include "case.hpp"

namespace bad_input {

void add_prompts(Cases& cases) {
  const auto accept = [&](const std::string& name, const std::string& prompt, const Words& words = {}) {
    cases.push_back({"prompt: " + name, {0}, words, {"tokenize", "--model", "model", "--prompt", prompt}});
    cases.push_back({"prompt with =: " + name, {0}, words, {"tokenize", "--model", "model", "--prompt=" + prompt}});
    cases.push_back({"prompt -p: " + name, {0}, words, {"tokenize", "--model", "model", "-p", prompt}});
  };
  accept("empty", "");
  accept("spaces", "   \t\n  ");
  accept("looks like help", "--help");
  accept("looks like a short flag", "-h");
  accept("looks like a flag with a value", "--steps=5");
  accept("one dash", "-");
  accept("two dashes", "--");
  accept("an equals sign", "=");
  accept("a path", "../../etc/passwd");
  accept("a format", "%s%n%d");
  accept("quotes and shell", "'\"$(rm -rf /)`x`\\");
  accept("special tokens", "</s><pad><unk><extra_id_><extra_id_x><extra_id_100>");
  cases.push_back({"prompt: a sentinel that the embedding table does not have", {2, 3}, {"<extra_id_0>", "128 rows"}, {"tokenize", "--model", "model", "--prompt", "<extra_id_0>"}});
  accept("emoji, families, flags", "🎬👨‍👩‍👧‍👦🇩🇪👍🏽");
  accept("combining marks and ligatures", "e\xCC\x81 \xC3\xA9 ﬁ Ａ");
  accept("right to left and bidi controls", "שלום \xE2\x80\xAE مرحبا \xE2\x80\x8F");
  accept("zero width", "a\xE2\x80\x8B" "b\xEF\xBB\xBF" "c");
  accept("control characters", "a\x01\x1b[2J\x7f");
  accept("noncharacters", "\xEF\xBF\xBF\xEF\xBF\xBE");
  accept("the last code point", "\xF4\x8F\xBF\xBF");
  accept("braces of CLI11", "{}%%[x,y]");
  accept("quoted words", "\"a b\" 'c'");
  accept("100 KB", std::string(100000, 'a'), {"warning:", "lost"});
  accept("100 KB without a known piece", [] { std::string s; for (int i = 0; i < 30000; ++i) s += "漢"; return s; }());
  accept("longer than the model takes", [] { std::string s; for (int i = 0; i < 60; ++i) s += "w" + std::to_string(i) + " "; return s; }(), {"warning:", "w59"});

  const std::pair<const char*, std::string> malformed[] = {{"a lone continuation byte", "ab\x80"},  {"an overlong slash", "ab\xC0\xAF"},       {"a surrogate", "ab\xED\xA0\x80"},
                                                           {"beyond U+10FFFF", "ab\xF4\x90\x80\x80"}, {"cut off at the end", "ab\xE6\xBC"},        {"byte 0xFF", "ab\xFF" "cd"},
                                                           {"overlong of three", "ab\xE0\x80\xAF"},  {"overlong of four", "ab\xF0\x80\x80\xAF"}, {"Latin-1", "ab\xE9 t\xE9"}};
  for (const auto& [name, text] : malformed) {
    cases.push_back({std::string("prompt is not UTF-8: ") + name, {2}, {"--prompt", "UTF-8", "byte 2"}, {"tokenize", "--model", "model", "--prompt", text}});
    cases.push_back({std::string("prompt of encode-text is not UTF-8: ") + name, {2}, {"--prompt", "UTF-8"}, {"encode-text", "--model", "model", "--prompt=" + text, "--output", "x.safetensors"}});
    cases.push_back({std::string("negative prompt is not UTF-8: ") + name, {2}, {"--negative-prompt", "UTF-8"}, generate({"--negative-prompt", text})});
    cases.push_back({std::string("line of a prompt file is not UTF-8: ") + name, {2, 3}, {"p.txt", "2", "UTF-8"}, {"generate", "--model", "model", "--steps", "1", "--prompt-file", "p.txt", "--output", "v.npy"},
                     [text = text](const Folder& f) { f.file("p.txt", "fine\n" + text + "\n"); }});
  }
  cases.push_back({"prompt missing", {2}, {"--prompt", "required"}, {"tokenize", "--model", "model"}});
  cases.push_back({"prompt without a value", {2}, {"--prompt"}, {"tokenize", "--model", "model", "--prompt"}});
  cases.push_back({"prompt twice", {2}, {"--prompt"}, {"tokenize", "--model", "model", "--prompt", "a", "--prompt", "b"}});

  const auto file = [&](const std::string& name, std::vector<int> codes, const Words& words, const std::string& bytes) {
    cases.push_back({"prompt file: " + name, std::move(codes), words, {"generate", "--model", "model", "--steps", "1", "--num-frames", "1", "--prompt-file", "p.txt", "--output", "v.npy", "--quiet"},
                     [bytes](const Folder& f) { f.file("p.txt", bytes); }});
    cases.back().may_write = cases.back().accepted();
  };
  file("two lines", {0}, {"v_0", "v_1"}, "a\nb\n");
  file("carriage returns, no newline at the end", {0}, {"v_0", "v_1"}, "a\r\nb");
  file("empty", {2, 3}, {"p.txt"}, "");
  file("UTF-16", {2, 3}, {"p.txt"}, std::string("\xFF\xFE" "a\0\n\0", 6));
  cases.push_back({"prompt file: missing", {3}, {"nowhere.txt"}, {"generate", "--model", "model", "--prompt-file", "nowhere.txt", "--output", "v.npy"}});
  cases.push_back({"prompt file: a folder", {3}, {"model"}, {"generate", "--model", "model", "--prompt-file", "model", "--output", "v.npy"}});
  cases.push_back({"prompt and prompt file", {2}, {"--prompt", "--prompt-file"}, generate({"--prompt-file", "p.txt"}), [](const Folder& f) { f.file("p.txt", "a\n"); }});

  const auto embeds = [&](const std::string& name, std::vector<int> codes, const Words& words, const std::string& bytes) {
    cases.push_back({"prompt embeddings: " + name, std::move(codes), words, {"generate", "--model", "model", "--steps", "1", "--num-frames", "1", "--prompt-embeds", "e.safetensors", "--output", "v.npy", "--quiet"},
                     [bytes](const Folder& f) { f.file("e.safetensors", bytes); }});
    cases.back().may_write = cases.back().accepted();
  };
  embeds("right", {0}, {}, one_tensor("prompt_embeds", "F32", "[1,32,32]", 4096));
  embeds("wrong length", {3}, {"e.safetensors", "[1, 31, 32]"}, one_tensor("prompt_embeds", "F32", "[1,31,32]", 31 * 128));
  embeds("wrong width", {3}, {"e.safetensors", "[1, 32, 16]"}, one_tensor("prompt_embeds", "F32", "[1,32,16]", 2048));
  embeds("wrong rank", {3}, {"e.safetensors"}, one_tensor("prompt_embeds", "F32", "[32,32]", 4096));
  embeds("integers", {3}, {"e.safetensors"}, one_tensor("prompt_embeds", "I32", "[1,32,32]", 4096));
  embeds("NaN", {3, 6}, {"e.safetensors"}, safetensors(R"({"prompt_embeds":{"dtype":"F32","shape":[1,32,32],"data_offsets":[0,4096]}})", std::string(4096, '\xFF')));
  embeds("another name", {3}, {"e.safetensors", "prompt_embeds"}, one_tensor("embeds", "F32", "[1,32,32]", 4096));
}

}  // namespace bad_input
