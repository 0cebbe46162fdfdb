#include "base/utf8.h"

#include <gtest/gtest.h>

namespace fovea::core {
namespace {

using namespace std::string_view_literals;

TEST(Utf8, WhatIsAndWhatIsNot) {
  for (auto text : {""sv, "cat"sv, "gr\u00f6\u00dfer"sv, "\u732b"sv, "\U0001f408"sv, "\0"sv, "\x7f"sv, "\xed\x9f\xbf"sv,
                    "\xf4\x8f\xbf\xbf"sv})
    EXPECT_TRUE(is_utf8(text)) << text;
  for (auto text :
       {"gr\xf6\xdf"sv, "\x80"sv, "\xc3"sv, "\xc3("sv, "\xe7\x8c"sv, "\xf0\x9f\x90"sv, "\xff\xfe"sv, "\xc0\xaf"sv,
        "\xe0\x80\x80"sv, "\xf0\x80\x80\x80"sv, "\xed\xa0\x80"sv, "\xf4\x90\x80\x80"sv, "\xf8\x88\x80\x80\x80"sv})
    EXPECT_FALSE(is_utf8(text)) << text;
}

}  // namespace
}  // namespace fovea::core
