#include "client/utf8.h"

#include "gtest/gtest.h"

namespace emserve::client {
namespace {

TEST(IsUtf8, AcceptsEveryLength) {
  EXPECT_TRUE(IsUtf8(""));
  EXPECT_TRUE(IsUtf8(std::string_view("a\0\x7F", 3)));
  EXPECT_TRUE(IsUtf8("\u00FC\u20AC\U0001F600\U0010FFFF"));
}

TEST(IsUtf8, RefusesWhatIsCutOverlongASurrogateOrTooLarge) {
  for (const char* text :
       {"\xFC", "\x80", "\xC3", "\xE2\x82", "\xC3\x28", "\xC0\xAF", "\xE0\x80\xAF", "\xED\xA0\x80",
        "\xF4\x90\x80\x80", "\xF8\x88\x80\x80\x80"}) {
    EXPECT_FALSE(IsUtf8(text)) << testing::PrintToString(text);
  }
}

}  // namespace
}  // namespace emserve::client
