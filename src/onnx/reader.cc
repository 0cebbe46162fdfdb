#include "onnx/reader.h"

#include <filesystem>

#include "onnx/graph_builder.h"
#include "onnx/support.h"

namespace fovea::core {
namespace {

void describe(const onnx::ModelProto& model, ModelInfo& info) {
  info.opset = opset_of(model, "");
  info.ir_version = model.ir_version();
  info.producer = model.producer_name();
  if (!model.producer_version().empty()) info.producer += " " + model.producer_version();
}

Result<std::unique_ptr<Graph>> read(Bytes bytes, const MappedFile* file, const std::string& name,
                                    const std::string& folder, const ReadOptions& options, ModelInfo* info) {
  SourceHash hash;
  SourceHash* wanted = info ? &hash : nullptr;
  FOVEA_TRY_SET(auto model, parse_model(bytes, name, file, wanted));
  if (Status s = check_support(*model); !s.ok()) return s.in(name);
  ExternalData external(folder, wanted);
  auto graph = GraphBuilder(*model, external).build(options);
  if (!graph.ok()) return graph.status().in(name);
  if (info) {
    describe(*model, *info);
    info->hash = hash.value();
  }
  return graph;
}

}  // namespace

Result<std::unique_ptr<Graph>> read_onnx(const std::string& path, const ReadOptions& options, ModelInfo* info) {
  FOVEA_TRY_SET(auto file, MappedFile::open(path));
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return read(file->bytes(), file.get(), path, folder.empty() ? "." : folder, options, info);
}

Result<std::unique_ptr<Graph>> read_onnx_bytes(Bytes bytes, const std::string& name, const std::string& folder,
                                               const ReadOptions& options, ModelInfo* info) {
  return read(bytes, nullptr, name, folder, options, info);
}

}  // namespace fovea::core
