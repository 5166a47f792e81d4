// The one list of families: latent structures, emissions, their options and what each can do.
//
// Adding a family is one line here. The dispatch, the law tests, the benchmarks and the service's
// description of itself all follow from this list; no code past MakeModel knows which family it
// handles.
#ifndef EMSERVE_CORE_FAMILIES_H_
#define EMSERVE_CORE_FAMILIES_H_

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "core/data/summary.h"
#include "core/em/constraints.h"
#include "core/em/model.h"
#include "core/emission/bernoulli.h"
#include "core/emission/categorical.h"
#include "core/emission/exponential.h"
#include "core/emission/gamma.h"
#include "core/emission/gaussian.h"
#include "core/emission/log_normal.h"
#include "core/emission/multinomial.h"
#include "core/emission/negative_binomial.h"
#include "core/emission/poisson.h"
#include "core/emission/student_t.h"
#include "core/emission/von_mises_fisher.h"
#include "core/latent/hmm.h"

namespace emserve {

// Emissions of whole rows or blocks of columns.
using LeafOptions =
    std::variant<GaussianOptions, StudentTOptions, BernoulliOptions, CategoricalOptions,
                 MultinomialOptions, PoissonOptions, NegativeBinomialOptions, ExponentialOptions,
                 GammaOptions, LogNormalOptions, VonMisesFisherOptions>;

// Each block of columns has its own emission; given the component they are independent.
struct ProductOptions {
  struct Part {
    std::string name;  // [a-z][a-z0-9_]{0,62}, unique; its parameters are called "<name>.<array>"
    int num_columns = 1;  // the next ones of the table, in order
    LeafOptions emission;
  };
  std::vector<Part> parts;
};

// The leaves and their product, in one variant.
template <typename Leaves>
struct WithProduct;
template <typename... Leaf>
struct WithProduct<std::variant<Leaf...>> {
  using Type = std::variant<Leaf..., ProductOptions>;
};
using EmissionOptions = WithProduct<LeafOptions>::Type;

struct MixtureOptions {
  int num_components = 1;  // >= 1 and at most the number of rows with positive weight
  EmissionOptions emission;
  // One more component, last, uniform on the box of the data; for continuous emissions.
  bool noise = false;
  // Symmetric Dirichlet prior on the weights, > 0; 1: none. mixture.h
  double weight_concentration = 1;
  ConstraintOptions constraints = {};
};

struct KMeansOptions {
  int num_components = 1;  // as MixtureOptions'
  bool spherical = false;  // kmeans.h
  ConstraintOptions constraints = {};
};

struct HmmOptions {
  int num_states = 1;  // >= 1 and at most the number of rows with positive weight
  EmissionOptions emission;
  InitialDistribution initial = InitialDistribution::kFree;  // hmm.h, as all below
  TransitionPattern transitions = TransitionPattern::kFull;
  std::vector<char> allowed_transitions = {};
  double initial_concentration = 1;
  double transition_concentration = 1;
  double stickiness = 0;
  DurationKind durations = DurationKind::kGeometric;
  int max_duration = 0;
  double duration_concentration = 1;
  ConstraintOptions constraints = {};
  bool shape_only = false;
};

using ModelOptions = std::variant<MixtureOptions, KMeansOptions, HmmOptions>;

// A row of the list, for people and for clients that adapt.
struct FamilyInfo {
  std::string_view name;                           // lower_snake, e.g. "gaussian_mixture"
  std::string_view summary;                        // one sentence
  std::span<const std::string_view> capabilities;  // lower_snake, e.g. "row_weights", "warm_start"
  std::span<const std::string_view> outputs;       // what prediction can return, e.g. "labels"
};

// All families this library was built with.
std::span<const FamilyInfo> Families();

// Whether the family called `family` has the capability, one of Capabilities().
bool HasCapability(std::string_view family, std::string_view capability);

// Whether models of `options` can predict `output`, one of their family's; of a product all parts
// must.
bool HasOutput(const ModelOptions& options, std::string_view output);

// Every capability that some family has, in the order of tables, with one sentence on it.
struct CapabilityInfo {
  std::string_view name;
  std::string_view summary;
};
std::span<const CapabilityInfo> Capabilities();

// Name of the family that `options` describe, an entry of Families().
std::string_view FamilyName(const ModelOptions& options);

// Components (or states) of a model of `options`, noise included: what labels and responsibilities
// are among.
int NumComponents(const ModelOptions& options);

// The emission of `options`; null for k-means.
const EmissionOptions* EmissionOf(const ModelOptions& options);
EmissionOptions* EmissionOf(ModelOptions& options);

// `options` with all filled in that a model would take from the data: codes of categorical columns,
// totals of multinomial rows, in parts of a product too. A model made of the result no longer
// depends on its table there, so it is what to keep with parameters. `summary` must be of the very
// rows with weight, not bounds: codes that only other rows have would be in the model too. Errors
// as MakeModel's. O(columns).
absl::StatusOr<ModelOptions> Resolved(const ModelOptions& options, const Summary& summary,
                                      const std::vector<std::string>& names);

// Whether parameters of a model of `a` are parameters of a model of `b` too when their layouts
// agree: the same structure and emission with the same shape of its parts, whatever tunes the fit.
// Layouts alone do not tell: variances [2] may be of two components or of two columns, and two
// levels may be the codes 0 and 1 or 1 and 2. Codes are compared as the options have them, so that
// those of a model should be Resolved.
bool SameStructure(const ModelOptions& a, const ModelOptions& b);

// Checks `options` against the data and builds the model. InvalidArgument or FailedPrecondition
// with the field path, relative to the options ("num_components: got 0, must be ...",
// "emission.ridge: ..."). `names` are the modelled columns' names, for messages.
absl::StatusOr<std::unique_ptr<Model>> MakeModel(const ModelOptions& options,
                                                 const Summary& summary,
                                                 const std::vector<std::string>& names);

}  // namespace emserve

#endif  // EMSERVE_CORE_FAMILIES_H_
