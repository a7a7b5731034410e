// kinema/data/shapes_caption.hpp - sentences about scenes of moving shapes, and what such a sentence asks for.
#pragma once

#include <kinema/data/shapes.hpp>

#include <optional>
#include <span>
#include <string>

namespace kinema::inline KINEMA_ABI::data::shapes {

/// What a caption says. What it does not say is absent.
struct Attributes {
  std::optional<std::size_t> color, background;  ///< places in `colors` and `backgrounds`
  std::optional<Figure> figure;
  std::optional<Motion> motion;
  SizeName size = SizeName::unnamed;
};

namespace detail {

struct Words {
  std::string_view name;                          ///< what the list calls it
  std::array<std::string_view, 5> said;           ///< how people say it, the usual way first
};
inline constexpr std::array<Words, 8> motion_words = {{{"left", {"moves left", "moves to the left", "slides left", "goes left", "is moving left"}},
                                                       {"right", {"moves right", "moves to the right", "slides right", "goes right", "is moving right"}},
                                                       {"up", {"moves up", "rises", "goes up"}},
                                                       {"down", {"moves down", "falls", "goes down"}},
                                                       {"grow", {"grows", "gets bigger", "expands", "is growing"}},
                                                       {"shrink", {"shrinks", "gets smaller", "is shrinking"}},
                                                       {"spin", {"spins", "rotates", "turns around", "is spinning"}},
                                                       {"still", {"stays still", "does not move", "is still", "rests"}}}};
inline constexpr std::array<Words, 1> figure_synonyms = {{{"circle", {"ball", "disc"}}}};
inline constexpr std::array<Words, 4> other_synonyms = {{{"square", {"box"}}, {"purple", {"violet"}}, {"gray", {"grey"}}, {"small", {"little", "tiny"}}}};
inline constexpr std::array<Words, 1> large_synonyms = {{{"large", {"big", "huge"}}}};

/// Every synonym with the name that it stands for.
template <class F>
void for_each_synonym(const F& f) {
  const auto all = [&](std::span<const Words> list) {
    for (const Words& w : list)
      for (const std::string_view s : w.said)
        if (!s.empty()) f(w.name, s);
  };
  all(figure_synonyms);
  all(other_synonyms);
  all(large_synonyms);
}

/// The name itself in two of three cases, else one of its synonyms.
inline std::string spoken(std::string_view name, Generator& g) {
  std::array<std::string_view, 4> others{};
  std::int64_t n = 0;
  for_each_synonym([&](std::string_view of, std::string_view synonym) {
    if (of == name) others[static_cast<std::size_t>(n++)] = synonym;
  });
  if (n == 0 || g.below(3) < 2) return std::string(name);
  return std::string(others[static_cast<std::size_t>(g.below(n))]);
}

/// The usual words in half of the cases.
inline std::string spoken(Motion m, Generator& g) {
  const Words& w = motion_words[static_cast<std::size_t>(m)];
  std::int64_t n = 0;
  while (n < 5 && !w.said[static_cast<std::size_t>(n)].empty()) ++n;
  return std::string(w.said[static_cast<std::size_t>(g.below(2) == 0 ? 0 : g.below(n))]);
}

inline bool begins_with_vowel(std::string_view word) { return word.find_first_of("aeiou") == 0; }

/// Words of a caption in lower case without punctuation, " a red circle " (a space at both ends).
inline std::string normalized(std::string_view caption) {
  std::string out = " ";
  for (const char c : caption) {
    const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    const bool letter = lower >= 'a' && lower <= 'z';
    if (letter) out += lower;
    else if (out.back() != ' ') out += ' ';
  }
  if (out.back() != ' ') out += ' ';
  return out;
}

inline void replace_words(std::string& text, std::string_view from, std::string_view to) {
  const std::string spaced = cat(" ", from, " ");
  for (std::size_t at = text.find(spaced); at != std::string::npos; at = text.find(spaced, at)) text.replace(at + 1, from.size(), to);
}

}  // namespace detail

/// The plainest caption: "a small red star moves right on a black background"; of a picture, "a red star on a black background".
inline std::string caption(const Scene& s) {
  const std::string_view size = s.size == SizeName::unnamed ? "" : to_string_view(s.size), color = colors[s.color].name;
  std::string out = detail::begins_with_vowel(size.empty() ? color : size) ? "an " : "a ";
  if (!size.empty()) out += cat(size, " ");
  out += cat(color, " ", to_string_view(s.figure), " ");
  if (s.motion != Motion::none) out += cat(detail::motion_words[static_cast<std::size_t>(s.motion)].said[0], " ");
  return out + cat("on a ", backgrounds[s.background].name, " background");
}

/// A caption in one of five forms with synonyms, drawn from `g`. Half of them have the plainest form. Pictures are described without a motion
/// (calling them still would teach the wrong word for clips). "a orange" appears too, as people write it.
inline std::string caption(const Scene& s, Generator& g) {
  const auto form = g.below(2) == 0 ? std::int64_t{0} : 1 + g.below(4);
  const std::string background = detail::spoken(backgrounds[s.background].name, g);
  std::string object = s.size == SizeName::unnamed ? "" : detail::spoken(to_string_view(s.size), g) + " ";
  object += cat(detail::spoken(colors[s.color].name, g), " ", detail::spoken(to_string_view(s.figure), g));
  const std::string article = detail::begins_with_vowel(object) && g.below(4) != 0 ? "an " : "a ";
  const std::string motion = s.motion == Motion::none ? "" : detail::spoken(s.motion, g);
  const std::string gap = motion.empty() ? "" : " ";
  const std::int64_t place = g.below(5);
  const std::string where = place < 2    ? cat("on a ", background, " background")
                            : place == 2 ? cat("over a ", background, " background")
                            : place == 3 ? cat("against a ", background, " backdrop")
                                         : cat("on ", background);
  switch (form) {
    case 1: return cat(where, ", ", article, object, gap, motion);
    case 2: return cat(object, motion.empty() ? "" : ", ", motion, ", ", background, " background");
    case 3: return motion.empty() ? cat("a picture of ", article, object, " ", where) : cat("a video of ", article, object, " that ", motion, " ", where);
    case 4: return cat("the ", object, gap, motion, " ", where, ".");
    default: return cat(article, object, gap, motion, " ", where);
  }
}

/// What a caption in this vocabulary asks for; words that it does not know are skipped.
/// A colour directly before a shape is the object's, any other is the background's.
inline Attributes attributes(std::string_view text) {
  std::string t = detail::normalized(text);
  detail::for_each_synonym([&](std::string_view name, std::string_view synonym) { detail::replace_words(t, synonym, name); });
  const auto has = [&](std::string_view word) { return t.find(cat(" ", word, " ")) != std::string::npos; };
  Attributes a;
  for (std::size_t m = 0; m < detail::motion_words.size(); ++m)
    for (const std::string_view said : detail::motion_words[m].said)
      if (!said.empty() && has(said)) a.motion = static_cast<Motion>(m);
  for (std::size_t f = 0; f < figure_names.size(); ++f)
    if (has(figure_names[f])) a.figure = static_cast<Figure>(f);
  if (has("small")) a.size = SizeName::small;
  if (has("large")) a.size = SizeName::large;
  if (a.figure) {
    const std::size_t before = t.find(cat(" ", to_string_view(*a.figure), " "));
    for (std::size_t c = 0; c < colors.size(); ++c) {
      const std::string_view name = colors[c].name;
      if (before < name.size() + 1 || t.compare(before - name.size() - 1, name.size() + 1, cat(" ", name)) != 0) continue;
      a.color = c;
      t.replace(before - name.size(), name.size(), name.size(), '-');  // not to be found again as the background's
    }
  }
  for (std::size_t b = 0; b < backgrounds.size(); ++b)
    if (has(backgrounds[b].name)) a.background = b;
  return a;
}

}  // namespace kinema::inline KINEMA_ABI::data::shapes
