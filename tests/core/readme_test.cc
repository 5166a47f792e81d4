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

// "student_t_mixture" and "student_t_hmm" are "student t" in the tables.
std::string Words(std::string_view name) {
  for (const std::string_view structure : {"_mixture", "_hmm"}) {
    if (name.ends_with(structure)) name.remove_suffix(structure.size());
  }
  std::string words(name);
  std::replace(words.begin(), words.end(), '_', ' ');
  return words;
}

// A table of capabilities by the families that are, or are not, of sequences, in Markdown.
std::string CapabilityTable(std::string_view title, bool of_sequences) {
  std::string table = "| " + std::string(title) + " |";
  std::string rule = "|---|";
  for (const FamilyInfo& family : Families()) {
    if (HasCapability(family.name, "sequences") != of_sequences) continue;
    table += " " + Words(family.name) + " |";
    rule += ":-:|";
  }
  table += "\n" + rule + "\n";
  for (const CapabilityInfo& capability : Capabilities()) {
    table += "| " + Words(capability.name) + " |";
    for (const FamilyInfo& family : Families()) {
      if (HasCapability(family.name, "sequences") != of_sequences) continue;
      table += HasCapability(family.name, capability.name) ? " ✓ |" : " |";
    }
    table += "\n";
  }
  return table;
}

TEST(Readme, HasTheCapabilityTablesOfTheFamilies) {
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
  const std::string want = CapabilityTable("mixtures and k-means", false) + "\n" +
                           CapabilityTable("hidden Markov models", true);
  EXPECT_TRUE(readme.substr(start, end - start) == want)
      << "README.md: between its markers there must be exactly\n"
      << want;
}

}  // namespace
}  // namespace emserve::testing
