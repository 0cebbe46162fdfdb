// Engine files of graphs as text, for what no exporter would write.
#pragma once

#include <string>

void write_text_engine(const std::string& path, const std::string& graph);
