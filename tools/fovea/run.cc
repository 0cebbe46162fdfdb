#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <set>

#include "eval/results.h"
#include "picture/detector.h"
#include "picture/draw.h"
#include "verbs.h"

namespace fovea::core::tool {
namespace {

struct Options {
  std::string engine, output, json, draw, labels;
  std::vector<std::string> inputs, pictures;
  int threads = 0;
  int64_t batch = 1;
  double min_score = 0.3;
  bool check = false, verbose = false;
};

Result<std::shared_ptr<LoadedEngine>> open(const Options& o) {
  LoadOptions load;
  load.threads = o.threads, load.log = stderr_log(o.verbose);
  return LoadedEngine::open(o.engine, load);
}

Status run_tensors(const Options& o) {
  FOVEA_TRY_SET(auto engine, open(o));
  const Graph& graph = engine->main().graph();
  FOVEA_TRY_SET(TensorInputs in, read_inputs(graph, o.inputs));
  FOVEA_TRY_SET(auto spec, engine->main().specialise(in.shapes, engine->threads()));
  Executor executor;
  executor.check_finite = o.check;
  FOVEA_TRY(make_folder(o.output));
  FOVEA_TRY(executor.bind(spec));
  std::vector<TensorRef> out(graph.outputs.size());
  FOVEA_TRY(executor.run(in.refs, out));
  return write_outputs(o.output, graph, out);
}

// Folders stand for the pictures in them, in order of their names.
Result<std::vector<std::string>> expand(const std::vector<std::string>& paths) {
  std::vector<std::string> files;
  for (const std::string& path : paths) {
    std::error_code error;
    if (!std::filesystem::is_directory(path, error)) {
      files.push_back(path);
      continue;
    }
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
      std::string extension = entry.path().extension().string();
      std::transform(extension.begin(), extension.end(), extension.begin(),
                     [](unsigned char c) { return std::tolower(c); });
      if (extension == ".jpg" || extension == ".jpeg" || extension == ".png") found.push_back(entry.path().string());
    }
    if (found.empty()) return invalid_argument("{}: expected a folder with .jpg or .png pictures, found none", path);
    std::sort(found.begin(), found.end());
    files.insert(files.end(), found.begin(), found.end());
  }
  return files;
}

void print_table(std::span<const PictureDetections> results, std::span<const double> ms, const Options& o,
                 const ClassesCard& classes) {
  size_t width = 7;
  for (const PictureDetections& p : results) width = std::max(width, p.file_name.size());
  const int w = static_cast<int>(width);
  std::printf("%-*s  objects      ms  best first, above %.2f\n", w, "picture", o.min_score);
  for (size_t i = 0; i < results.size(); ++i) {
    std::string names;
    int objects = 0;
    for (const Detection& d : results[i].detections) {
      if (d.score < o.min_score) continue;
      if (++objects <= 5)
        names += fmt::format("{}{} {:.2f}", objects > 1 ? ", " : "", class_name(classes, d.label), d.score);
      else if (objects == 6) names += ", ...";
    }
    std::printf("%-*s  %7d  %6.1f  %s\n", w, results[i].file_name.c_str(), objects, ms[i], names.c_str());
  }
}

Status draw(const Options& o, Image image, const std::string& path, const PictureDetections& result,
            const ClassesCard& classes, std::set<std::string>& used) {
  std::vector<Detection> shown;
  for (const Detection& d : result.detections)
    if (d.score >= o.min_score) shown.push_back(d);
  FOVEA_TRY(draw_detections(image, shown, classes));
  // Two pictures of one name from different folders must not overwrite each other.
  std::string name = result.file_name;
  for (int i = 2; !used.insert(name).second; ++i)
    name = fmt::format("{}_{}{}", std::filesystem::path(result.file_name).stem().string(), i,
                       std::filesystem::path(result.file_name).extension().string());
  std::string extension = std::filesystem::path(path).extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return write_image(o.draw + "/" + name, image, extension == ".png" ? PictureFormat::kPng : PictureFormat::kJpeg);
}

Status run_pictures(const Options& o) {
  if (!o.json.empty()) FOVEA_TRY(check_writable(o.json));
  FOVEA_TRY_SET(auto engine, open(o));
  FOVEA_TRY_SET(auto detector, Detector::make(engine));
  detector->check_finite = o.check;
  FOVEA_TRY_SET(std::vector<std::string> files, expand(o.pictures));
  if (!o.draw.empty()) FOVEA_TRY(make_folder(o.draw));
  std::vector<PictureDetections> results;
  std::vector<double> ms;
  std::set<std::string> used;
  Progress progress;
  const auto batch = static_cast<size_t>(std::clamp<int64_t>(o.batch, 1, detector->max_batch()));
  for (size_t at = 0; at < files.size(); at += batch) {
    const size_t end = std::min(at + batch, files.size());
    std::vector<Image> images;
    std::vector<const Image*> pointers;
    for (size_t i = at; i < end; ++i) {
      FOVEA_TRY_SET(Image image, read_image(files[i]));
      images.push_back(std::move(image));
    }
    for (const Image& image : images) pointers.push_back(&image);
    FOVEA_TRY_SET(auto found, detector->detect(pointers, static_cast<int64_t>(batch)));
    const Detector::Timing& t = detector->timing();
    for (size_t i = at; i < end; ++i) {
      results.push_back({std::filesystem::path(files[i]).filename().string(),
                         image_id_of(files[i], static_cast<int64_t>(i)), std::move(found[i - at])});
      ms.push_back((t.preprocess + t.network + t.boxes) / static_cast<double>(end - at));
      if (!o.draw.empty())
        FOVEA_TRY(draw(o, std::move(images[i - at]), files[i], results.back(), detector->card().classes, used));
    }
    progress.show("detecting", static_cast<int>(end), static_cast<int>(files.size()));
  }
  progress.clear();
  print_table(results, ms, o, detector->card().classes);
  if (!o.json.empty()) FOVEA_TRY(write_file(o.json, detections_to_json(results, detector->card().classes)));
  if (!o.labels.empty()) {
    FOVEA_TRY_SET(CocoLabels labels, read_coco_labels(o.labels));
    const std::vector<CocoDetection> detections = to_coco(results, detector->card().classes);
    FOVEA_TRY_SET(CocoResult r, evaluate(labels, detections));
    std::printf("mAP@[.5:.95] %.4f  AP50 %.4f  AP75 %.4f  (%zu pictures, labels of %s)\n", r.ap, r.ap50, r.ap75,
                results.size(), o.labels.c_str());
  }
  return {};
}

Status run(const Options& o, const CLI::App& verb) {
  if (!o.pictures.empty() && !o.inputs.empty()) return invalid_argument("give pictures or --input, not both");
  if (!o.inputs.empty()) {
    FOVEA_TRY(refuse_flags(verb, {"--json", "--draw", "--labels", "--min-score", "--batch"},
                           "goes with pictures; with --input the results are tensors, for --output"));
    if (o.output.empty()) return invalid_argument("--input needs --output DIR, where the results go as NAME.npy");
    return run_tensors(o);
  }
  if (o.pictures.empty()) return invalid_argument("expected pictures, or --input NAME=FILE.npy for each input");
  FOVEA_TRY(refuse_flags(verb, {"--output"}, "goes with --input; what pictures give goes to --json and --draw"));
  return run_pictures(o);
}

}  // namespace

void add_run(CLI::App& app, Action& action) {
  auto o = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("run", "Run an engine on pictures or on tensors");
  verb->add_option("engine", o->engine, "The engine file")->required()->type_name("ENGINE.fov");
  verb->add_option("pictures", o->pictures, "JPEG or PNG files, or folders of them")->type_name("PICTURE...");
  verb->add_option("--json", o->json, "Write the detections in COCO's result format")->type_name("FILE");
  verb->add_option("--draw", o->draw, "Folder for the pictures with boxes drawn")->type_name("DIR");
  verb->add_option("--labels", o->labels, "COCO labels: print the mean average precision")->type_name("FILE");
  verb->add_option("--min-score", o->min_score, "Objects below it are neither drawn nor counted in the table")
      ->check(CLI::Range(0.0, 1.0));
  verb->add_option("--batch", o->batch, "Pictures in a run")->check(CLI::Range(1, 1 << 20));
  verb->add_option("--input", o->inputs, "A tensor for an input; one for each")
      ->type_name("NAME=FILE.npy")
      ->allow_extra_args(false);
  verb->add_option("--output", o->output, "Folder for the outputs, written as NAME.npy")->type_name("DIR");
  verb->add_option("--threads", o->threads, "Threads of a run; all cores if not given")->check(CLI::Range(1, 1024));
  verb->add_flag("--check", o->check, "Stop at the first kernel that gives NaN or infinity, and name its ONNX node");
  verb->add_flag("-v,--verbose", o->verbose, "Say more");
  verb->callback([o, verb, &action] { action = [o, verb] { return run(*o, *verb); }; });
}

}  // namespace fovea::core::tool
