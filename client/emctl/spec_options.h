// The one list of what a person can say about a fit: each option with the field of the API that it
// sets. Parsing (arguments.cc), errors in the words of options (field_options.cc) and the parts of
// a product (fit.cc) all follow from it; a field that a proto gains is one line here.
#ifndef EMSERVE_CLIENT_EMCTL_SPEC_OPTIONS_H_
#define EMSERVE_CLIENT_EMCTL_SPEC_OPTIONS_H_

#include <span>
#include <string>
#include <string_view>

#include "emserve/v1/model_spec.pb.h"

namespace emserve::emctl {

struct SpecOption {
  std::string_view name;   // as it is typed, "-k,--components"
  std::string_view field;  // path of the field, relative to the message of the list
  std::string_view value;  // what stands for its value in help, e.g. "X"; empty for a flag
  std::string_view group;  // heading in help
  std::string_view help;
  std::string_view flag = "true";  // what a flag sets
  bool sweeps = true;              // whether a sweep has it too
};

// What FitSpec has for every family.
std::span<const SpecOption> FitSpecOptions();

// What SequenceSpec has: how rows are cut into sequences, for families of sequences. The first ones
// are those of predictions too.
std::span<const SpecOption> SequenceOptions();
constexpr size_t kNumCuts = 2;

struct FamilyCommand {
  std::string_view name;      // of the subcommand, "gaussian-mixture", "gaussian-hmm"
  std::string_view alias;     // another name, or empty
  std::string_view emission;  // in lists of emissions and parts, "gaussian"; empty for k-means
  std::string_view title;     // for people, "Gaussian mixture"
  std::string_view help;      // one line
  // Path of its options' message in ModelSpec, and of the message that is its structure.
  std::string_view message;
  std::string_view structure;
  std::span<const SpecOption> structure_options;  // fields of `structure`, components first
  std::span<const SpecOption> options;            // fields of `message`
  bool takes_missing = true;                      // cells may be missing
  bool takes_categories = false;                  // columns may be text

  // Whether it is of sequences.
  bool sequential() const { return structure == "hidden_markov"; }
};

// Every family, in the order of the API.
std::span<const FamilyCommand> FamilyCommands();

// The mixture whose emission has this name ("student-t", "student_t"); null if there is none.
const FamilyCommand* FindEmission(std::string_view name);

// The mixture of the message `field` in EmissionSpec's oneof, or k-means for "kmeans". What a
// family's emission is does not depend on the structure around it.
const FamilyCommand* FindFamilyOfField(std::string_view field);

// The family that the specification is of; null if this emctl does not know it.
const FamilyCommand* FindFamily(const v1::ModelSpec& spec);

// The option of this name, typed with or without its hyphens ("covariance"); null if there is none.
const SpecOption* FindOption(std::span<const SpecOption> options, std::string_view name);

// The name in errors: "-k/--components".
std::string OptionName(const SpecOption& option);

}  // namespace emserve::emctl

#endif  // EMSERVE_CLIENT_EMCTL_SPEC_OPTIONS_H_
