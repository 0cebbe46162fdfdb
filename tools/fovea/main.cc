#include <poll.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "backends/cpu/target.h"
#include "verbs.h"

namespace {

std::string verb_of(const CLI::App& app) {
  const auto verbs = app.get_subcommands();
  return verbs.empty() ? "" : verbs[0]->get_name() + " ";
}

using fovea::core::Status;

Status act(const fovea::core::tool::Action& action) {
  if (!action)
    return fovea::core::invalid_argument("expected compile, run, bench, profile or inspect; 'fovea --help' says more");
  try {
    return action();
  } catch (const std::bad_alloc&) {
    return fovea::core::system_error("out of memory");
  } catch (const std::exception& e) {
    return fovea::core::internal_error("{}", e.what());
  }
}

// Results that do not arrive, on a full disk say, are a failure. A reader that has left, as head does, wants no more.
Status flush_results() {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return {};
  pollfd reader{STDOUT_FILENO, 0, 0};
  if (::poll(&reader, 1, 0) > 0 && (reader.revents & POLLERR)) return {};
  return fovea::core::system_error("standard output: cannot write the results");
}

}  // namespace

int main(int argc, char** argv) {
  // A file-size limit or a closed pipe must come back as an error of write(), which names the file.
  std::signal(SIGXFSZ, SIG_IGN);
  std::signal(SIGPIPE, SIG_IGN);

  CLI::App app("fovea: an exported object detector becomes one engine file, and finds objects in pictures", "fovea");
  const fovea::core::Target target = fovea::core::cpu_target();
  app.set_version_flag("--version", fmt::format("fovea {}\n{}\n{} ({})", target.build, target.libraries, target.device,
                                                target.features));
  app.require_subcommand(0, 1);  // one is required, but a wrong one shall be named: see below
  fovea::core::tool::Action action;
  fovea::core::tool::add_compile(app, action);
  fovea::core::tool::add_run(app, action);
  fovea::core::tool::add_bench(app, action);
  fovea::core::tool::add_profile(app, action);
  fovea::core::tool::add_inspect(app, action);
  Status status;
  try {
    app.parse(argc, argv);
    status = act(action);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) app.exit(e);  // --help, --version
    else status = fovea::core::invalid_argument("{}; 'fovea {}--help' says more", e.what(), verb_of(app));
  }
  if (status.ok()) status = flush_results();
  if (status.ok()) return 0;
  std::fprintf(stderr, "fovea: %s: %s\n", std::string(fovea::core::to_string(status.kind())).c_str(),
               status.message().c_str());
  return static_cast<int>(status.kind());
}
