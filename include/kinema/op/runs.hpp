// kinema/op/runs.hpp - runs: which rows of a token sequence take which row of a modulation table.
//
//   const Tensor<> runs = tensor_of<std::int64_t>({226, 1, 17776, 0});   // reshaped to [2, 2]
//   rows 0 ... 225 (text) take row 1, rows 226 ... 17775 (video) take row 0
//
// A run is (end, group): rows up to `end`, exclusive, from the end of the run before. Packed training samples are many runs.
#pragma once

#include <kinema/tensor/expect.hpp>

#include <cstdint>

namespace kinema::inline KINEMA_ABI::op::detail {

/// runs i64 [R, 2] on the host, ends ascending to `rows`, groups in [0, groups).
inline void expect_runs(const Expect& expect, const Tensor<>& runs, std::int64_t rows, std::int64_t groups) {
  expect("runs", runs).rank(2).dtype(DType::i64).on(Device::cpu());
  expect("runs", runs).size(1, 2).contiguous();
  const auto run = runs.view<const std::int64_t, 2>();
  std::int64_t end = 0;
  for (std::int64_t i = 0; i < run.size[0]; ++i) {
    expect.that(run(i, 0) >= end, "the ends of runs must ascend, got ", run(i, 0), " after ", end);
    expect.that(run(i, 1) >= 0 && run(i, 1) < groups, "run ", i, " must name a group below ", groups, ", got ", run(i, 1));
    end = run(i, 0);
  }
  expect.that(end == rows, "the last run must end at row ", rows, ", got ", end);
}

}  // namespace kinema::inline KINEMA_ABI::op::detail
