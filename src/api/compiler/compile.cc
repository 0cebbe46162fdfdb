#include <fovea/compile.h>

#include "api/bridge.h"
#include "backends/device.h"
#include "builder/compile.h"

namespace fovea {

void compile(const std::string& model_path, const std::string& engine_path, const CompileOptions& options) {
  edge([&] {
    if (options.threads < 0)
      throw Error(ErrorCode::kInvalidArgument,
                  fmt::format("threads: expected 0 (all cores) or more, found {}", options.threads));
    core::CompileOptions o;
    o.model = model_path, o.card = options.card, o.threads = options.threads, o.timing_cache = options.timing_cache;
    if (options.memory_limit < 0)
      throw Error(ErrorCode::kInvalidArgument,
                  "memory_limit: expected at least 0, found " + std::to_string(options.memory_limit));
    o.memory_limit = options.memory_limit;
    o.device = std::static_pointer_cast<core::Device>(options.device.handle());
    const auto precision = core::precision_from_string(options.precision);
    if (!precision)
      throw Error(ErrorCode::kInvalidArgument,
                  "precision: expected 'fp32', 'tf32' or 'fp16', found '" + options.precision + "'");
    o.precision = *precision;
    o.timing = options.timing, o.verify = options.verify;
    o.profiles.assign(options.shapes.begin(), options.shapes.end());
    o.log = log_sink(options.log);
    if (options.progress)
      o.progress = [progress = callers(options.progress)](std::string_view stage, int done, int total) {
        progress(std::string(stage), done, total);
      };
    core::CompileResult result = take(core::compile(o));
    check(core::write_engine(engine_path, result.engine));
  });
}

}  // namespace fovea
