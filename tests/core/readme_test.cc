// What the README says of the families is what the code's own list says.
#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>

#include "core/families.h"
#include "gtest/gtest.h"

namespace emserve::testing {
namespace {

// "student_t_mixture" is "student t" in the table.
std::string Words(std::string_view name) {
  constexpr std::string_view kMixture = "_mixture";
  if (name.ends_with(kMixture)) name.remove_suffix(kMixture.size());
  std::string words(name);
  std::replace(words.begin(), words.end(), '_', ' ');
  return words;
}

// The table of capabilities by families, in Markdown.
std::string CapabilityTable() {
  std::string table = "| |";
  std::string rule = "|---|";
  for (const FamilyInfo& family : Families()) {
    table += " " + Words(family.name) + " |";
    rule += ":-:|";
  }
  table += "\n" + rule + "\n";
  for (const CapabilityInfo& capability : Capabilities()) {
    table += "| " + Words(capability.name) + " |";
    for (const FamilyInfo& family : Families()) {
      const auto& has = family.capabilities;
      table += std::find(has.begin(), has.end(), capability.name) != has.end() ? " ✓ |" : " |";
    }
    table += "\n";
  }
  return table;
}

TEST(Readme, HasTheCapabilityTableOfTheFamilies) {
  std::ifstream file(EMSERVE_README);
  std::stringstream text;
  text << file.rdbuf();
  const std::string readme = text.str();
  constexpr std::string_view kBegin = "<!-- capabilities -->\n";
  constexpr std::string_view kEnd = "<!-- /capabilities -->\n";
  const size_t begin = readme.find(kBegin);
  const size_t end = readme.find(kEnd);
  ASSERT_NE(begin, std::string::npos) << "README.md: has no line " << kBegin;
  ASSERT_NE(end, std::string::npos) << "README.md: has no line " << kEnd;
  const size_t start = begin + kBegin.size();
  ASSERT_LE(start, end);
  const std::string want = CapabilityTable();
  EXPECT_TRUE(readme.substr(start, end - start) == want)
      << "README.md: between its markers there must be exactly\n"
      << want;
}

}  // namespace
}  // namespace emserve::testing
