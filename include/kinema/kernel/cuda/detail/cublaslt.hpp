// kinema/kernel/cuda/detail/cublaslt.hpp - the cuBLASLt adapter: carries out GEMM plans and remembers the algorithms.
#pragma once

#include <kinema/kernel/cuda/detail/context.hpp>
#include <kinema/kernel/cuda/detail/gemm.hpp>

#include <cublasLt.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <utility>

namespace kinema::inline KINEMA_ABI::kernel::cuda {

inline void check(cublasStatus_t status, std::string_view call) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw BackendError(cat("cublasLt: ", call, ": ", cublasLtGetStatusString(status), " (", cublasLtGetStatusName(status), ", ", static_cast<int>(status), ")"));
}

inline cudaDataType_t cuda_type(DType t) {
  switch (t) {
    case DType::f32: return CUDA_R_32F;
    case DType::bf16: return CUDA_R_16BF;
    case DType::f16: return CUDA_R_16F;
    default: throw DTypeError(cat("matmul: CUDA multiplies f32, bf16 and f16, got ", t));
  }
}

inline cublasLtEpilogue_t cublas_epilogue(Epilogue e) {
  switch (e) {
    case Epilogue::bias: return CUBLASLT_EPILOGUE_BIAS;
    case Epilogue::gelu_tanh: return CUBLASLT_EPILOGUE_GELU;
    case Epilogue::gelu_tanh_bias: return CUBLASLT_EPILOGUE_GELU_BIAS;
    default: return CUBLASLT_EPILOGUE_DEFAULT;
  }
}

/// The descriptors of a plan. f32 is multiplied as f32: TF32 would keep 10 bits of the mantissa.
class GemmDescriptors {
 public:
  explicit GemmDescriptors(const GemmPlan& p) {
    KINEMA_CUDA(cublasLtMatmulDescCreate(&operation_, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    const cublasOperation_t op_a = p.a.transpose ? CUBLAS_OP_T : CUBLAS_OP_N, op_b = p.b.transpose ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasLtEpilogue_t epilogue = cublas_epilogue(p.epilogue);
    const cudaDataType_t type = cuda_type(p.type), out = cuda_type(p.out);
    set(CUBLASLT_MATMUL_DESC_TRANSA, op_a);
    set(CUBLASLT_MATMUL_DESC_TRANSB, op_b);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
    set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, out);
    layout(a_, p.a, type, p.batch);
    layout(b_, p.b, type, p.batch);
    layout(d_, p.d, out, p.batch);
  }
  GemmDescriptors(const GemmDescriptors&) = delete;
  GemmDescriptors& operator=(const GemmDescriptors&) = delete;
  ~GemmDescriptors() {
    for (const cublasLtMatrixLayout_t l : {a_, b_, d_})
      if (l) (void)cublasLtMatrixLayoutDestroy(l);
    if (operation_) (void)cublasLtMatmulDescDestroy(operation_);
  }
  void bias(const void* pointer) { set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, pointer); }
  cublasLtMatmulDesc_t operation() const { return operation_; }
  cublasLtMatrixLayout_t a() const { return a_; }
  cublasLtMatrixLayout_t b() const { return b_; }
  cublasLtMatrixLayout_t d() const { return d_; }

 private:
  template <class T>
  void set(cublasLtMatmulDescAttributes_t what, const T& value) {
    KINEMA_CUDA(cublasLtMatmulDescSetAttribute(operation_, what, &value, sizeof value));
  }
  static void layout(cublasLtMatrixLayout_t& l, const Stored& s, cudaDataType_t type, std::int64_t batch) {
    KINEMA_CUDA(cublasLtMatrixLayoutCreate(&l, type, static_cast<std::uint64_t>(s.rows), static_cast<std::uint64_t>(s.columns), s.leading));
    const std::int32_t count = static_cast<std::int32_t>(batch);
    if (count == 1) return;
    KINEMA_CUDA(cublasLtMatrixLayoutSetAttribute(l, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count));
    KINEMA_CUDA(cublasLtMatrixLayoutSetAttribute(l, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &s.batch_stride, sizeof s.batch_stride));
  }

  cublasLtMatmulDesc_t operation_ = nullptr;
  cublasLtMatrixLayout_t a_ = nullptr, b_ = nullptr, d_ = nullptr;
};

/// A library handle and the algorithms chosen so far. One per context, so one thread at a time.
class CublasLt {
 public:
  CublasLt() {
    cublasLtHandle_t handle = nullptr;
    KINEMA_CUDA(cublasLtCreate(&handle));
    handle_.reset(handle);
  }

  void run(CudaContext& ctx, const GemmPlan& plan, const GemmPointers& at) {
    Choice& choice = choose(plan, at);
    if (at.bias) choice.descriptors.bias(at.bias);
    const float one = 1, zero = 0;
    const auto workspace = ctx.scratch(choice.workspace_bytes);
    const cublasStatus_t status =
        cublasLtMatmul(handle_.get(), choice.descriptors.operation(), &one, at.a, choice.descriptors.a(), at.b, choice.descriptors.b(), &zero, at.d,
                       choice.descriptors.d(), at.d, choice.descriptors.d(), &choice.algorithm, workspace.as<void>(), choice.workspace_bytes, ctx.stream());
    if (status != CUBLAS_STATUS_SUCCESS) check(status, cat("cublasLtMatmul(", to_string(plan), ")"));
  }

 private:
  static constexpr std::size_t workspace_limit = std::size_t{32} << 20;  ///< what NVIDIA recommends for Hopper
  struct Destroy {
    void operator()(cublasLtHandle_t h) const { (void)cublasLtDestroy(h); }
    void operator()(cublasLtMatmulPreference_t p) const { (void)cublasLtMatmulPreferenceDestroy(p); }
  };
  struct Choice {
    explicit Choice(const GemmPlan& plan) : descriptors(plan) {}
    GemmDescriptors descriptors;
    cublasLtMatmulAlgo_t algorithm{};
    std::size_t workspace_bytes = 0;
  };
  /// Algorithms may count on alignment, so it is part of the key: log2 of it for A, B, D and the bias, at most 256 bytes.
  using Key = std::pair<GemmPlan, std::array<unsigned char, 4>>;

  static unsigned char alignment(const void* p) {
    const auto address = reinterpret_cast<std::uintptr_t>(p);
    return static_cast<unsigned char>(address == 0 ? 8 : std::min(__builtin_ctzll(address), 8));
  }

  Choice& choose(const GemmPlan& plan, const GemmPointers& at) {
    const Key key{plan, {alignment(at.a), alignment(at.b), alignment(at.d), alignment(at.bias)}};
    if (const auto found = choices_.find(key); found != choices_.end()) return *found->second;
    auto choice = std::make_unique<Choice>(plan);
    if (at.bias) choice->descriptors.bias(at.bias);
    const auto wishes = preference(key.second);
    cublasLtMatmulHeuristicResult_t result{};
    int found = 0;
    const GemmDescriptors& d = choice->descriptors;
    const cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(handle_.get(), d.operation(), d.a(), d.b(), d.d(), d.d(), wishes.get(), 1, &result, &found);
    if (status != CUBLAS_STATUS_SUCCESS) check(status, cat("cublasLtMatmulAlgoGetHeuristic(", to_string(plan), ")"));
    if (found == 0) throw BackendError(cat("cublasLt: no algorithm for ", to_string(plan)));
    choice->algorithm = result.algo;
    choice->workspace_bytes = result.workspaceSize;
    return *choices_.emplace(key, std::move(choice)).first->second;
  }

  static std::unique_ptr<cublasLtMatmulPreferenceOpaque_t, Destroy> preference(const std::array<unsigned char, 4>& alignments) {
    cublasLtMatmulPreference_t p = nullptr;
    KINEMA_CUDA(cublasLtMatmulPreferenceCreate(&p));
    std::unique_ptr<cublasLtMatmulPreferenceOpaque_t, Destroy> owner(p);
    const auto set = [p](cublasLtMatmulPreferenceAttributes_t what, auto value) {
      KINEMA_CUDA(cublasLtMatmulPreferenceSetAttribute(p, what, &value, sizeof value));
    };
    const auto bytes = [&](std::size_t i) { return std::uint32_t{1} << alignments[i]; };
    set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{workspace_limit});
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, bytes(0));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, bytes(1));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, bytes(2));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, bytes(2));
    return owner;
  }

  std::unique_ptr<cublasLtContext, Destroy> handle_;
  std::map<Key, std::unique_ptr<Choice>> choices_;
};

}  // namespace kinema::inline KINEMA_ABI::kernel::cuda
