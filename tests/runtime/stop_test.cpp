// tests/runtime/stop_test.cpp - stop tokens, the scope that asks them before every op, and what observers see.
#include <kinema/op/elementwise.hpp>
#include <kinema/runtime/stop.hpp>

#include "support/catch.hpp"

#include <string>

using namespace kinema;

namespace {

struct Log : Observer {
  std::string text;
  double flops = 0;
  void begin(std::string_view op, Device, double work) override { text += cat("(", op), flops += work; }
  void end(std::string_view, Device) override { text += ")"; }
};

}  // namespace

TEST_CASE("ops ask before they start, nested scopes ask all, and observers stay attached", "[stop]") {
  Log log;
  CpuContext context(1);
  context.observer = &log;
  const CpuScope current(context);
  const Tensor<> x = full({10}, 2, DType::f32);
  bool first = false, second = false;
  const Stop outer([&] { return first; }), inner([&] { return second; });
  {
    const StopScope a(outer);
    const StopScope b(inner);
    op::scale(x, 3);
    CHECK(log.text == cat("(", kernel::Scale::name, ")"));
    CHECK(log.flops > 0);
    const std::string before = log.text;
    first = true;
    CHECK_THROWS_AS(op::scale(x, 3), Interrupted);
    first = false, second = true;
    CHECK_THROWS_AS(op::scale(x, 3), Interrupted);
    CHECK(log.text == before);
    CHECK_THROWS_AS(StopScope(inner), Interrupted);
    second = false;
    op::scale(x, 3);
    CHECK(log.text == before + before);
  }
  CHECK(context.observer == &log);
  first = second = true;
  op::scale(x, 3);
}

TEST_CASE("a stop is a token or a question, and by default never", "[stop]") {
  CHECK_FALSE(Stop().requested());
  std::stop_source source;
  const Stop token(source.get_token());
  CHECK_FALSE(token.requested());
  source.request_stop();
  CHECK(token.requested());
  CHECK_THROWS_AS(token.check(), Interrupted);
}
