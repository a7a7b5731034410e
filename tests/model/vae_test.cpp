// tests/model/vae_test.cpp - the VAE against the reference implementation, and what must hold for any weights.
#include "support/golden.hpp"
#include "support/volume.hpp"

#include <kinema/model/cogvideox/config_json.hpp>
#include <kinema/model/cogvideox/vae.hpp>

#include <map>
#include <set>

using namespace kinema;
using namespace kinema::test;
using cogvideox::Vae;
using cogvideox::VaeConfig;
using cogvideox::VaeOptions;
using cogvideox::VaeTile;

namespace {

VaeConfig tiny() {
  VaeConfig c;
  c.block_out_channels = {8, 16, 16, 32};
  c.latent_channels = 4;
  c.layers_per_block = 1;
  c.norm_num_groups = 4;
  return c;
}

Vae filled(const VaeConfig& c, DType dtype = DType::f32) {
  Vae vae(c);
  fill_parameters(vae, dtype);
  return vae;
}

struct Sums {
  double sum, absolute, squares, at[6];
};

/// Checks a result against sums and elements 0, 1, 2, n/3, n/2, n-1 that an independent implementation printed to 8 digits.
void check_sums(const Tensor<>& got, const Sums& want) {
  const std::vector<double> v = values_of(got);
  const std::size_t n = v.size(), index[6] = {0, 1, 2, n / 3, n / 2, n - 1};
  double sum = 0, absolute = 0, squares = 0;
  for (const double x : v) sum += x, absolute += std::abs(x), squares += x * x;
  const double tolerance = 2e-6 * std::sqrt(static_cast<double>(n)) + 1e-5;  // of a sum of n roundings
  CHECK(std::abs(sum - want.sum) <= tolerance + 1e-7 * std::abs(want.sum));
  CHECK(std::abs(absolute - want.absolute) <= tolerance + 1e-7 * want.absolute);
  CHECK(std::abs(squares - want.squares) <= 4 * tolerance + 1e-7 * want.squares);
  for (int i = 0; i < 6; ++i) CHECK(std::abs(v[index[i]] - want.at[i]) <= 1e-5);
}

/// Frames [first, first + n) of a, compared bit by bit with those of b.
bool same_frames(const Tensor<>& a, const Tensor<>& b, std::int64_t first, std::int64_t n) {
  return same_bits(op::contiguous(narrow(a, 2, first, n)), op::contiguous(narrow(b, 2, first, n)));
}

Tensor<> changed_from(const Tensor<>& x, std::int64_t frame) {
  const Tensor<> y = op::contiguous(op::scale(x, 1.0));
  const auto v = y.view<float, 5>();
  for (std::int64_t c = 0; c < x.size(1); ++c)
    for (std::int64_t t = frame; t < x.size(2); ++t) v(0, c, t, 0, 0) += 1.0f;
  return y;
}

}  // namespace

TEST_CASE("the tiny VAE reproduces the published sums", "[model][vae]") {
  const Vae vae = filled(tiny());
  const auto video = [](std::int64_t F, std::int64_t H = 32, std::int64_t W = 48) { return filled_input("in.video", {1, 3, F, H, W}); };
  const auto latent = [](std::int64_t T, std::int64_t h = 4, std::int64_t w = 6) { return filled_input("in.latent", {1, 4, T, h, w}); };
  check_sums(vae.encode(video(1)), {-11.672868, 80.944203, 54.243395, {-1.087216, -.3840529, -.9214108, .3524385, -.3058183, .0087636}});
  check_sums(vae.encode(video(9)), {-18.575245, 257.38252, 192.35563, {-.6795069, -.5108445, -.8913077, .4564393, -.4788452, .3982158}});
  check_sums(vae.encode(video(17)), {-47.925924, 434.29316, 327.33994, {-.3810915, .1761402, -1.1347413, -.5004145, -.1962198, -.1254627}});
  check_sums(vae.encode(video(8)), {-39.132376, 170.13269, 125.94709, {-1.14387, -.4504511, -.5109338, 1.2188137, -.1136645, .0884687}});
  check_sums(vae.decode(latent(1)), {-196.8304, 3174.7438, 3977.542, {-.2814748, -.4251445, -.4030373, -.1070365, -.23715, -.0262709}});
  check_sums(vae.decode(latent(2)), {-8183.0872, 28054.634, 50705.517, {-.2093594, -.1535764, -.168635, .0915772, -.0648032, .0704247}});
  check_sums(vae.decode(latent(3)), {-6458.6334, 26201.679, 34514.181, {-.2573901, -.4672907, -.5055913, .1910836, .3453382, -.1226489}});
  check_sums(vae.decode(latent(5)), {-15038.644, 53129.676, 77309.903, {-.3285887, -.4968991, -.7685495, -.0078215, .0840186, -.4036145}});

  VaeOptions tiles;
  tiles.tile = VaeTile{48, 80};
  check_sums(vae.decode(latent(3, 11, 18), tiles), {-66653.812, 241267.93, 334673.63, {-.5300743, -.3639771, -.3201613, .743087, -.4731469, .8695856}});
  check_sums(vae.encode(video(9, 88, 144), tiles), {-173.64306, 2247.2169, 1763.9058, {-.0598977, .4012355, -.3919619, .4894574, -.4586874, .1703004}});

  VaeOptions whole;
  whole.sample_chunk = whole.latent_chunk = 1'000'000;
  check_sums(vae.encode(video(17), whole), {-55.949443, 464.43458, 375.92946, {-.5000147, .4002664, -1.3572748, -.6639477, -.1964068, -.1575297}});
  check_sums(vae.decode(latent(5), whole), {-15099.734, 53177.91, 77693.316, {-.3042789, -.4457969, -.6910987, -.0139363, .0702718, -.3784724}});
}

TEST_CASE("the VAE agrees with the reference, block by block", "[model][vae][golden]") {
  double worst = 0;
  for (const char* name : {"vae_a", "vae_b", "vae_c", "vae_d"}) {
    const GoldenCase golden(name);
    const VaeConfig config = cogvideox::read_vae_config(golden.json.at("config"));
    const Vae vae = filled(config);
    const io::Json tensors = golden.json.at("tensors");
    for (const char* coder : {"encode", "decode"}) {
      const bool encode = std::string(coder) == "encode";
      for (const std::string& call : golden.json.at("call").at(coder).keys()) {
        const Tensor<> in = filled_input(encode ? "in.video" : "in.latents", GoldenCase::shape_of(golden.json.at("call").at(coder).integers(call.c_str())));
        worst = std::max(worst, golden.check(call, encode ? vae.encode(in) : vae.decode(in)));
        if (tensors.has((call + ".whole").c_str())) {
          VaeOptions whole;
          whole.sample_chunk = whole.latent_chunk = 1'000'000;
          worst = std::max(worst, golden.check(call + ".whole", encode ? vae.encode(in, whole) : vae.decode(in, whole)));
        }
        // the same chunks by hand, with every block shown
        nn::FrameCache cache;
        std::int64_t chunk = 0;
        for (const cogvideox::FrameRange& r : cogvideox::frame_chunks(in.size(2), encode ? 8 : 2)) {
          const auto show = [&](const std::string& block, const Tensor<>& value) {
            const std::string key = cat(call, ".chunk", chunk, ".", block);
            if (tensors.has(key.c_str())) worst = std::max(worst, golden.check(key, op::from_blocked(value)));
          };
          const cogvideox::VaeProbe probe(show);
          const Tensor<> part = narrow(in, 2, r.begin, r.size());
          if (encode) vae.encoder()(part, cache, &probe);
          else vae.decoder()(part, cache, &probe);
          ++chunk;
        }
      }
    }
  }
  CHECK(worst < 5e-5);  // measured 9e-6, on values up to 5
}

TEST_CASE("tiles agree with the reference", "[model][vae][golden]") {
  double worst = 0;
  for (const char* name : {"vae_tiles_small", "vae_tiles_default", "vae_tiles_one_axis"}) {
    const GoldenCase golden(name);
    const Vae vae = filled(cogvideox::read_vae_config(golden.json.at("config")));
    const io::Json t = golden.json.at("call").at("tile");
    VaeOptions options;
    options.tile = VaeTile{t.integer("sample_min_height", 0), t.integer("sample_min_width", 0), t.number("overlap_factor_height", 0), t.number("overlap_factor_width", 0)};
    for (const char* coder : {"encode", "decode"})
      for (const std::string& call : golden.json.at("call").at(coder).keys()) {
        const bool encode = std::string(coder) == "encode";
        const Tensor<> in = filled_input(encode ? "in.video" : "in.latents", GoldenCase::shape_of(golden.json.at("call").at(coder).integers(call.c_str())));
        worst = std::max(worst, golden.check(call + ".tiled", encode ? vae.encode(in, options) : vae.decode(in, options)));
        worst = std::max(worst, golden.check(call, encode ? vae.encode(in) : vae.decode(in)));
      }
  }
  CHECK(worst < 5e-5);  // measured 9e-6, on values up to 5
}

TEST_CASE("the published VAE has 436 tensors and 215,583,907 weights", "[model][vae]") {
  Vae vae{VaeConfig{}};
  std::set<std::string> names;
  nn::for_each_parameter(vae, [&](const std::string& name, nn::Parameter&) { names.insert(name); });
  CHECK(names.size() == 436);
  CHECK(nn::count_parameters(vae) == 215'583'907);
  for (const char* key : {"encoder.down_blocks.1.resnets.0.conv_shortcut.weight", "decoder.mid_block.resnets.1.norm2.conv_b.conv.bias",
                          "decoder.up_blocks.2.upsamplers.0.conv.weight", "decoder.norm_out.norm_layer.weight", "encoder.conv_out.conv.bias"})
    CHECK(names.count(key) == 1);
}

TEST_CASE("chunks cover every clip exactly once", "[model][vae]") {
  const auto sizes = [](std::int64_t T, std::int64_t batch) {
    std::string s;
    for (const auto& r : cogvideox::frame_chunks(T, batch)) s += cat(s.empty() ? "" : ",", r.size());
    return s;
  };
  CHECK(sizes(49, 8) == "9,8,8,8,8,8");
  CHECK(sizes(13, 2) == "3,2,2,2,2,2");
  CHECK(sizes(13, 8) == "13");
  CHECK(sizes(4, 2) == "2,2");
  const Vae vae{VaeConfig{}};
  for (std::int64_t T = 1; T <= 200; ++T)
    for (const std::int64_t batch : {2, 8}) {
      std::int64_t next = 0;
      for (const auto& r : cogvideox::frame_chunks(T, batch)) {
        REQUIRE(r.begin == next);
        REQUIRE(r.end > r.begin);
        next = r.end;
      }
      REQUIRE(next == T);
    }
  for (std::int64_t T = 1; T <= 81; T += 8) {
    CHECK(vae.encoded_frames(T) == (T - 1) / 4 + 1);
    CHECK(vae.decoded_frames_of((T - 1) / 4 + 1) == T);
  }
}

TEST_CASE("later chunks change no earlier output, frames of one chunk do", "[model][vae]") {
  const Vae vae = filled(tiny());
  const Tensor<> z = filled_input("in.latent", {1, 4, 5, 2, 3});
  const Tensor<> y = vae.decode(z), later = vae.decode(changed_from(z, 3));
  CHECK(same_frames(y, later, 0, 9));          // chunk 0: latents 0..2, frames 0..8
  CHECK_FALSE(same_frames(y, later, 9, 8));
  CHECK_FALSE(same_frames(y, vae.decode(changed_from(z, 2)), 0, 1));  // statistics pool over the chunk
  const Tensor<> x = filled_input("in.video", {1, 3, 17, 16, 16});
  const Tensor<> m = vae.encode(x), other = vae.encode(changed_from(x, 9));
  CHECK(same_frames(m, other, 0, 3));
  CHECK_FALSE(same_frames(m, other, 3, 2));
}

TEST_CASE("a clip that fits one chunk does not depend on the chunk size", "[model][vae]") {
  const Vae vae = filled(tiny());
  VaeOptions whole;
  whole.sample_chunk = whole.latent_chunk = 1'000'000;
  const Tensor<> z = filled_input("in.latent", {1, 4, 3, 2, 3}), x = filled_input("in.video", {1, 3, 9, 16, 16});
  CHECK(same_bits(vae.decode(z), vae.decode(z, whole)));
  CHECK(same_bits(vae.encode(x), vae.encode(x, whole)));
}

TEST_CASE("tiles at least as large as the picture change nothing", "[model][vae]") {
  const Vae vae = filled(tiny());
  const Tensor<> z = filled_input("in.latent", {1, 4, 3, 3, 4}), x = filled_input("in.video", {1, 3, 9, 24, 32});
  VaeOptions o;
  o.tile = VaeTile{24, 32};
  CHECK(same_bits(vae.decode(z), vae.decode(z, o)));
  CHECK(same_bits(vae.encode(x), vae.encode(x, o)));
}

TEST_CASE("tile sizes must add up", "[model][vae]") {
  const Vae vae = filled(tiny());
  const Tensor<> z = filled_input("in.latent", {1, 4, 1, 4, 6});
  VaeOptions o;
  o.tile = VaeTile{16, 24};
  CHECK(message_of<ArgumentError>([&] { vae.decode(z, o); }).find("vae tiles: a height of 16 pixels with an overlap of 0.16666666666666666 does not cut into whole latents") == 0);
  for (std::int64_t tile = 8; tile <= 600; tile += 8) {  // an axis that is really split: multiples of 48 rows, 40 columns
    const auto fits = [&](bool encode, double overlap) {
      try {
        cogvideox::tile_axis("side", encode, encode ? 4096 : 512, tile, overlap, 8);
        return true;
      } catch (const ArgumentError&) {
        return false;
      }
    };
    CAPTURE(tile);
    for (const bool encode : {true, false}) {
      CHECK(fits(encode, 1.0 / 6) == (tile % 48 == 0));
      CHECK(fits(encode, 1.0 / 5) == (tile % 40 == 0));
    }
  }
}

TEST_CASE("slices, batches and streams give the bits of one call", "[model][vae]") {
  const Vae vae = filled(tiny());
  const Tensor<> z = filled_input("in.latent", {2, 4, 5, 2, 3});
  const Tensor<> y = vae.decode(z);
  VaeOptions slices;
  slices.slicing = true;
  CHECK(same_bits(vae.decode(z, slices), y));
  CHECK(same_bits(vae.decode(op::contiguous(narrow(z, 0, 1, 1))), op::contiguous(narrow(y, 0, 1, 1))));
  std::string sizes;
  vae.decode_stream(z, [&](const Tensor<>& frames, std::int64_t first) {
    sizes += cat(first, "+", frames.size(2), " ");
    CHECK(same_bits(frames, op::contiguous(narrow(y, 2, first, frames.size(2)))));
  });
  CHECK(sizes == "0+9 9+8 ");
  // tiles in a stream: tile by tile over the whole clip would give the same, since each tile has caches of its own
  VaeOptions tiles;
  tiles.tile = VaeTile{32, 16, 0.25, 0.5};
  const Tensor<> wide = filled_input("in.latent", {1, 4, 5, 5, 4});
  const Tensor<> tiled = vae.decode(wide, tiles);
  vae.decode_stream(wide, [&](const Tensor<>& frames, std::int64_t first) { CHECK(same_frames(frames, narrow(tiled, 2, first, frames.size(2)), 0, frames.size(2))); }, tiles);
}

TEST_CASE("the VAE has the same bits for every number of threads", "[model][vae]") {
  const Vae vae = filled(tiny());
  const Tensor<> z = filled_input("in.latent", {1, 4, 3, 5, 7});
  require_thread_independence([&] { return vae.decode(z); });
  const Tensor<> x = filled_input("in.video", {1, 3, 9, 24, 40});
  require_thread_independence([&] { return vae.encode(x); });
}

TEST_CASE("memory of a stream does not grow with the clip", "[model][vae]") {
  const Vae vae = filled(tiny());
  const auto peak = [&](std::int64_t T) {
    CpuContext context(1);
    CpuScope scope(context);
    const Tensor<> z = filled_input("in.latent", {1, 4, T, 4, 6});
    context.pool->reset_peak();
    const std::size_t before = context.pool->statistics().live;
    vae.decode_stream(z, [](const Tensor<>&, std::int64_t) {});
    return context.pool->statistics().peak - before;
  };
  peak(5);  // packs the weights
  const std::size_t short_clip = peak(5);
  CHECK(peak(21) == short_clip);
}

TEST_CASE("16-bit and double clips stay close to f32", "[model][vae]") {
  const Vae vae = filled(tiny());
  const Tensor<> z = filled_input("in.latent", {1, 4, 3, 2, 3});
  const std::vector<double> want = values_of(vae.decode(op::cast(z, DType::f64)));
  const auto error = [&](DType t) {
    const std::vector<double> got = values_of(vae.decode(op::cast(z, t)));
    double worst = 0;
    for (std::size_t i = 0; i < got.size(); ++i) worst = std::max(worst, std::abs(got[i] - want[i]));
    return worst;
  };
  CHECK(error(DType::f32) < 3e-5);
  CHECK(error(DType::f16) < 0.05);   // 40 roundings of 2^-11 at values up to 4
  CHECK(error(DType::bf16) < 0.4);
}

TEST_CASE("the posterior samples and has a mode", "[model][vae][golden]") {
  const GoldenCase golden("vae_posterior");
  const Tensor<> moments = op::scale(filled_input("in.moments", golden.input_shape("in.moments"), DType::f64), golden.json.at("call").number("factor", 1));
  const cogvideox::Posterior posterior(moments);
  CHECK(same_bits(op::contiguous(posterior.mode()), op::contiguous(narrow(moments, 1, 0, 4))));
  const Tensor<> ones = full({2, 4, 3, 4, 5}, 1, DType::f64);
  const std::vector<double> std_got = values_of(op::sub(posterior.sample(ones), op::contiguous(posterior.mode())));
  const std::vector<double> std_want = values_of(op::cast(golden.stored("std"), DType::f64));
  for (std::size_t i = 0; i < std_got.size(); ++i) CHECK(std::abs(std_got[i] - std_want[i]) <= 1e-6 * std_want[i] + 1e-12 + 1e-13 * 100);
}

TEST_CASE("the VAE explains what it cannot take", "[model][vae]") {
  const Vae vae = filled(tiny());
  CHECK(message_of<ShapeError>([&] { vae.encode(zeros({1, 3, 1, 12, 16}, DType::f32)); }) ==
        "vae encode: video must have shape [B, 3, T, H, W] with H and W multiples of 8, got [1, 3, 1, 12, 16]");
  CHECK(message_of<ShapeError>([&] { vae.decode(zeros({1, 3, 1, 2, 2}, DType::f32)); }).find("vae decode: latents must have shape [B, 4, T, h, w]") == 0);
  CHECK(message_of<ArgumentError>([&] { Vae(tiny()).decode(zeros({1, 4, 1, 2, 2}, DType::f32)); }).find("not loaded or initialised yet") != std::string::npos);
  VaeConfig c = tiny();
  c.norm_num_groups = 3;
  CHECK(message_of<ConfigError>([&] { Vae v(c); }) == "block_out_channels: must be multiples of norm_num_groups (3), got 8");
  c = tiny();
  c.act_fn = "relu";
  CHECK(message_of<ConfigError>([&] { Vae v(c); }) == "act_fn: must be silu, got relu");
}
