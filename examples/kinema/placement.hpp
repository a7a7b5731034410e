// examples/kinema/placement.hpp - a run is planned and made to fit into memory before it begins.
#pragma once

#include "command_line.hpp"

#include <kinema/model/cogvideox/pipeline.hpp>
#include <kinema/model/cogvideox/plan.hpp>

namespace program {

/// A model as planning sees it: with or without weight files.
struct PlannedModel {
  kinema::cogvideox::PipelineConfig config;
  kinema::cogvideox::StoredType stored;
  bool can_stream = true;      ///< weights need not be rounded at load
  double stored_bytes = 0;     ///< of all weight files: address space, not memory

  explicit PlannedModel(const kinema::cogvideox::Pipeline& pipeline);
  /// All weights in one type, activations in `dtype`.
  PlannedModel(const kinema::cogvideox::PipelineConfig& config, kinema::DType stored, kinema::DType dtype);
};

/// Plans a run and makes it fit into --max-ram, or without it into the memory that is free: ask.tile and ask.streamed are
/// chosen where the options leave them open (`tile_fixed`: the tile is decided already), and what was chosen is said on
/// stderr. Exit 2 for tiles that cannot be; exit 4 with the smallest change that would fit if nothing does.
kinema::cogvideox::Plan place(const PlannedModel& model, kinema::cogvideox::PlanRequest& ask, const TilingOptions& tiling, const MemoryOptions& memory,
                              bool tile_fixed = false);

/// The plan as a table for people, or as JSON.
std::string plan_text(const PlannedModel& model, const kinema::cogvideox::PlanRequest& ask, const kinema::cogvideox::Plan& plan);
std::string plan_json(const PlannedModel& model, const kinema::cogvideox::PlanRequest& ask, const kinema::cogvideox::Plan& plan);

}  // namespace program
