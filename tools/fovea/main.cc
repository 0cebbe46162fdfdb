#include <csignal>
#include <cstdio>

#include "backends/cpu/target.h"
#include "verbs.h"

int main(int argc, char** argv) {
  // A file-size limit or a closed pipe must come back as an error of write(), which names the file.
  std::signal(SIGXFSZ, SIG_IGN);
  std::signal(SIGPIPE, SIG_IGN);

  CLI::App app("fovea: an exported object detector becomes one engine file, and finds objects in pictures", "fovea");
  const fovea::core::CpuTarget target = fovea::core::cpu_target();
  app.set_version_flag("--version", fmt::format("fovea {}\n{}\n{} ({})", target.build, target.libraries, target.device, target.features));
  app.require_subcommand(0, 1);  // one is required, but a wrong one shall be named: see below
  fovea::core::tool::Action action;
  fovea::core::tool::add_compile(app, action);
  fovea::core::tool::add_run(app, action);
  fovea::core::tool::add_bench(app, action);
  fovea::core::tool::add_inspect(app, action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : static_cast<int>(fovea::core::ErrorKind::kInvalidArgument);
  }
  fovea::core::Status status;
  try {
    status = action ? action() : fovea::core::invalid_argument("expected compile, run, bench or inspect; 'fovea --help' says more");
  } catch (const std::bad_alloc&) {
    status = fovea::core::system_error("out of memory");
  } catch (const std::exception& e) {
    status = fovea::core::internal_error("{}", e.what());
  }
  if (status.ok()) return 0;
  std::fprintf(stderr, "fovea: %s: %s\n", std::string(fovea::core::to_string(status.kind())).c_str(), status.message().c_str());
  return static_cast<int>(status.kind());
}
