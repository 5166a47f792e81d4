#include "core/families.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/emission/noise.h"
#include "core/emission/product.h"
#include "core/latent/kmeans.h"
#include "core/latent/mixture.h"

namespace emserve {
namespace {

using std::string_view_literals::operator""sv;

constexpr std::array kCapabilities = {
    CapabilityInfo{"row_weights", "Rows count as often as their weight says."},
    CapabilityInfo{"missing_cells", "Missing cells are integrated out."},
    CapabilityInfo{"labels", "Known components of rows, as sets or plausibilities."},
    CapabilityInfo{"constraints", "Parameters fixed or tied, element by element."},
    CapabilityInfo{"priors", "Conjugate priors; the penalised objective is climbed."},
    CapabilityInfo{"noise", "A uniform noise component."},
    CapabilityInfo{"sequences", "Rows of a sequence depend on the rows before them."},
    CapabilityInfo{"restarts", "Independent starts; every optimum with its frequency."},
    CapabilityInfo{"distance_starts", "Starts by distances: k-means++, k-means, agglomeration."},
    CapabilityInfo{"warm_start", "Starts from parameters, responsibilities or a stored model."},
    CapabilityInfo{"classification_em", "Hard assignments."},
    CapabilityInfo{"stochastic_em", "Assignments drawn from the posterior."},
    CapabilityInfo{"annealed_em", "Deterministic annealing."},
    CapabilityInfo{"stepwise_em", "Online EM over mini-batches."},
    CapabilityInfo{"update", "A stored model takes in new data without the old ones."},
    CapabilityInfo{"acceleration", "SQUAREM and Anderson steps, kept monotone."},
    CapabilityInfo{"collapse_policy",
                   "Collapsed components are held, failed, respawned or dropped."},
    CapabilityInfo{"float32_storage", "Cells stored as float32, sums in float64."},
    CapabilityInfo{"criteria", "AIC, BIC, ICL, entropy and separation; sweeps choose by them."},
    CapabilityInfo{"sampling", "Rows can be drawn from the model."},
    CapabilityInfo{"imputation", "Missing cells given the observed ones, with variances."},
    CapabilityInfo{"residuals", "Pseudo-residuals of cells in a sequence, to check the model by."},
};

// What a family lacks, and what few have; the rest is written once for all.
struct Traits {
  bool missing = true;     // cells may be missing
  bool ordered = true;     // each cell by itself has probabilities of less and of more
  bool noise = false;      // continuous, so that a uniform density can stand beside it
  bool distances = true;   // between cells
  bool likelihood = true;  // is a distribution
  bool sequences = false;
};

constexpr bool Has(const Traits& traits, std::string_view capability) {
  if (capability == "missing_cells" || capability == "imputation") return traits.missing;
  if (capability == "noise") return traits.noise && !traits.sequences;
  if (capability == "sequences") return traits.sequences;
  if (capability == "residuals") return traits.sequences && traits.ordered;
  if (capability == "distance_starts") return traits.distances;
  if (capability == "criteria" || capability == "sampling" || capability == "priors" ||
      capability == "stochastic_em" || capability == "annealed_em" ||
      capability == "collapse_policy") {
    return traits.likelihood;
  }
  return true;
}

// The names of what a family with these traits can do.
class CapabilitiesOf {
 public:
  explicit constexpr CapabilitiesOf(Traits traits) {
    for (const CapabilityInfo& capability : kCapabilities) {
      if (Has(traits, capability.name)) names_[size_++] = capability.name;
    }
  }
  constexpr operator std::span<const std::string_view>() const {  // NOLINT: a view of it
    return std::span(names_).first(size_);
  }

 private:
  std::array<std::string_view, kCapabilities.size()> names_;
  size_t size_ = 0;
};

constexpr Traits kContinuousTraits{.noise = true};
constexpr Traits kCodeTraits{.ordered = false, .distances = false};
constexpr Traits kWholeRowTraits{.missing = false, .ordered = false};
constexpr Traits kCentresTraits{.likelihood = false};

constexpr CapabilitiesOf kContinuous(kContinuousTraits);
constexpr CapabilitiesOf kDiscrete(Traits{});
constexpr CapabilitiesOf kCodes(kCodeTraits);
constexpr CapabilitiesOf kWholeRows(kWholeRowTraits);
constexpr CapabilitiesOf kCentres(kCentresTraits);

constexpr Traits InTime(Traits traits) {
  traits.sequences = true;
  return traits;
}
constexpr CapabilitiesOf kStates(InTime({}));
constexpr CapabilitiesOf kStatesOfCodes(InTime(kCodeTraits));
constexpr CapabilitiesOf kStatesOfWholeRows(InTime(kWholeRowTraits));

constexpr std::array kOutputs = {"labels"sv, "posteriors"sv, "log_densities"sv, "imputed"sv,
                                 "imputed_variances"sv};
constexpr std::span<const std::string_view> kAllOutputs(kOutputs);
constexpr std::span<const std::string_view> kOutputsOfWholeRows = kAllOutputs.first(3);
constexpr std::array kOutputsInTime = {"labels"sv,
                                       "posteriors"sv,
                                       "log_densities"sv,
                                       "filtered"sv,
                                       "decoded"sv,
                                       "sequence_log_likelihoods"sv,
                                       "path_log_probabilities"sv,
                                       "forecasts"sv,
                                       "best_paths"sv,
                                       "imputed"sv,
                                       "imputed_variances"sv,
                                       "residuals"sv,
                                       "forecast_residuals"sv};
constexpr std::span<const std::string_view> kAllInTime(kOutputsInTime);
constexpr std::span<const std::string_view> kWholeRowsInTime = kAllInTime.first(9);
constexpr std::span<const std::string_view> kCodesInTime = kAllInTime.first(11);

// The list: mixtures in the order of EmissionOptions, k-means, hidden Markov models in that order.
constexpr std::array kFamilies = {
    FamilyInfo{"gaussian_mixture",
               "Mixture of multivariate normals with the 14 covariance structures of Celeux and "
               "Govaert.",
               kContinuous, kAllOutputs},
    FamilyInfo{"student_t_mixture",
               "Mixture of multivariate t distributions with the same structures of their scales.",
               kContinuous, kAllOutputs},
    FamilyInfo{"bernoulli_mixture", "Mixture of independent binary columns.", kDiscrete,
               kAllOutputs},
    FamilyInfo{"categorical_mixture",
               "Latent class analysis: mixture of independent categorical columns.", kCodes,
               kAllOutputs},
    FamilyInfo{"multinomial_mixture", "Mixture of multinomials: rows of counts.", kWholeRows,
               kOutputsOfWholeRows},
    FamilyInfo{"poisson_mixture", "Mixture of independent Poisson counts.", kDiscrete, kAllOutputs},
    FamilyInfo{"negative_binomial_mixture", "Mixture of independent overdispersed counts.",
               kDiscrete, kAllOutputs},
    FamilyInfo{"exponential_mixture", "Mixture of independent exponential columns.", kContinuous,
               kAllOutputs},
    FamilyInfo{"gamma_mixture", "Mixture of independent gamma columns.", kContinuous, kAllOutputs},
    FamilyInfo{"log_normal_mixture", "Mixture of independent log-normal columns.", kContinuous,
               kAllOutputs},
    FamilyInfo{"von_mises_fisher_mixture", "Mixture of von Mises-Fisher directions.", kWholeRows,
               kOutputsOfWholeRows},
    FamilyInfo{"product_mixture",
               "Mixture whose blocks of columns have emissions of their own: mixed types of data.",
               kContinuous, kAllOutputs},
    FamilyInfo{"kmeans", "k-means and spherical k-means.", kCentres, kAllOutputs},
    FamilyInfo{"gaussian_hmm", "Hidden Markov model of multivariate normals.", kStates, kAllInTime},
    FamilyInfo{"student_t_hmm", "Hidden Markov model of multivariate t distributions.", kStates,
               kAllInTime},
    FamilyInfo{"bernoulli_hmm", "Hidden Markov model of independent binary columns.", kStates,
               kAllInTime},
    FamilyInfo{"categorical_hmm", "Hidden Markov model of independent categorical columns.",
               kStatesOfCodes, kCodesInTime},
    FamilyInfo{"multinomial_hmm", "Hidden Markov model of rows of counts.", kStatesOfWholeRows,
               kWholeRowsInTime},
    FamilyInfo{"poisson_hmm", "Hidden Markov model of independent Poisson counts.", kStates,
               kAllInTime},
    FamilyInfo{"negative_binomial_hmm", "Hidden Markov model of independent overdispersed counts.",
               kStates, kAllInTime},
    FamilyInfo{"exponential_hmm", "Hidden Markov model of independent exponential columns.",
               kStates, kAllInTime},
    FamilyInfo{"gamma_hmm", "Hidden Markov model of independent gamma columns.", kStates,
               kAllInTime},
    FamilyInfo{"log_normal_hmm", "Hidden Markov model of independent log-normal columns.", kStates,
               kAllInTime},
    FamilyInfo{"von_mises_fisher_hmm", "Hidden Markov model of von Mises-Fisher directions.",
               kStatesOfWholeRows, kWholeRowsInTime},
    FamilyInfo{"product_hmm",
               "Hidden Markov model of blocks of columns with emissions of their own.", kStates,
               kAllInTime},
};
constexpr size_t kNumEmissions = std::variant_size_v<EmissionOptions>;
constexpr size_t kKMeans = kNumEmissions;
constexpr size_t kFirstHmm = kNumEmissions + 1;
static_assert(kFamilies.size() == kFirstHmm + kNumEmissions);

absl::Status WithPath(std::string_view path, const absl::Status& status) {
  return absl::Status(status.code(),
                      absl::StrCat(std::string(path), std::string(status.message())));
}

// Options are fields of the emission of `path`; columns are fields of the fit.
absl::Status OfEmission(std::string_view path, const absl::Status& status) {
  if (!absl::IsInvalidArgument(status)) return status;
  return WithPath(absl::StrCat(std::string(path), "emission."), status);
}

// Calls body(part, path, its summary, its names) for every part of a product in turn, until one
// fails. InvalidArgument for parts that do not make up all columns.
template <typename Options, typename Body>
absl::Status ForEachPart(Options& options, const Summary& summary,
                         const std::vector<std::string>& names, Body body) {
  const auto num_columns = static_cast<int>(summary.mean.size());
  int first = 0;
  for (size_t p = 0; p < options.parts.size(); ++p) {
    auto& part = options.parts[p];
    const std::string path = absl::StrCat("parts[", p, "].");
    if (!(part.num_columns >= 1 && part.num_columns <= num_columns - first)) {
      return absl::InvalidArgumentError(absl::StrCat(path, "columns: got ", part.num_columns,
                                                     ", must be 1 to ", num_columns - first,
                                                     ", the columns that are left"));
    }
    const std::vector<std::string> part_names(names.begin() + first,
                                              names.begin() + first + part.num_columns);
    absl::Status status =
        body(part, SummaryOfColumns(summary, first, part.num_columns), part_names);
    if (!status.ok()) return OfEmission(path, status);
    first += part.num_columns;
  }
  if (first == num_columns) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("parts: got some of ", first, " columns, must be of all ", num_columns));
}

struct EmissionMaker {
  int num_components;
  const Summary& summary;
  const std::vector<std::string>& names;

  using Result = absl::StatusOr<std::unique_ptr<Emission>>;
  Result operator()(const GaussianOptions& options) const {
    return MakeGaussian(options, num_components, summary, names);
  }
  Result operator()(const StudentTOptions& options) const {
    return MakeStudentT(options, num_components, summary, names);
  }
  Result operator()(const BernoulliOptions& options) const {
    return MakeBernoulli(options, num_components, summary, names);
  }
  Result operator()(const CategoricalOptions& options) const {
    return MakeCategorical(options, num_components, summary, names);
  }
  Result operator()(const MultinomialOptions& options) const {
    return MakeMultinomial(options, num_components, summary, names);
  }
  Result operator()(const PoissonOptions& options) const {
    return MakePoisson(options, num_components, summary, names);
  }
  Result operator()(const NegativeBinomialOptions& options) const {
    return MakeNegativeBinomial(options, num_components, summary, names);
  }
  Result operator()(const ExponentialOptions& options) const {
    return MakeExponential(options, num_components, summary, names);
  }
  Result operator()(const GammaOptions& options) const {
    return MakeGamma(options, num_components, summary, names);
  }
  Result operator()(const LogNormalOptions& options) const {
    return MakeLogNormal(options, num_components, summary, names);
  }
  Result operator()(const VonMisesFisherOptions& options) const {
    return MakeVonMisesFisher(options, num_components, summary, names);
  }
  Result operator()(const ProductOptions& options) const {
    std::vector<ProductPart> parts;
    absl::Status status =
        ForEachPart(options, summary, names,
                    [&](const ProductOptions::Part& part, const Summary& of_part,
                        const std::vector<std::string>& part_names) {
                      Result emission = std::visit(
                          EmissionMaker{num_components, of_part, part_names}, part.emission);
                      if (!emission.ok()) return emission.status();
                      parts.push_back({part.name, *std::move(emission)});
                      return absl::OkStatus();
                    });
    if (!status.ok()) return status;
    return MakeProduct(std::move(parts));
  }
};

// Fills in what an emission takes from the data.
struct EmissionResolver {
  const Summary& summary;
  const std::vector<std::string>& names;

  absl::Status operator()(CategoricalOptions& options) const {
    return Assign(ResolveCategorical(options, summary, names), options);
  }
  absl::Status operator()(MultinomialOptions& options) const {
    return Assign(ResolveMultinomial(options, summary), options);
  }
  absl::Status operator()(ProductOptions& options) const {
    return ForEachPart(options, summary, names,
                       [](ProductOptions::Part& part, const Summary& of_part,
                          const std::vector<std::string>& part_names) {
                         return std::visit(EmissionResolver{of_part, part_names}, part.emission);
                       });
  }
  template <typename Options>
  absl::Status operator()(Options&) const {
    return absl::OkStatus();  // no option of theirs has a default by the data
  }

 private:
  template <typename Options>
  static absl::Status Assign(absl::StatusOr<Options> resolved, Options& options) {
    if (!resolved.ok()) return resolved.status();
    options = *std::move(resolved);
    return absl::OkStatus();
  }
};

bool HasNoise(size_t family) { return HasCapability(kFamilies[family].name, "noise"); }

// Whether a uniform density can stand beside the emission's.
bool IsContinuous(const EmissionOptions& options) {
  if (const auto* const product = std::get_if<ProductOptions>(&options)) {
    return std::all_of(
        product->parts.begin(), product->parts.end(),
        [](const ProductOptions::Part& part) { return HasNoise(part.emission.index()); });
  }
  return HasNoise(options.index());
}

// Whether options with one value per column, or one for all, are the same.
bool SameSpread(const std::vector<int64_t>& a, const std::vector<int64_t>& b) {
  if (a.empty() || b.empty()) return a.empty() && b.empty();
  if (a.size() != b.size() && a.size() != 1 && b.size() != 1) return false;
  for (size_t c = 0; c < std::max(a.size(), b.size()); ++c) {
    if (a[a.size() == 1 ? 0 : c] != b[b.size() == 1 ? 0 : c]) return false;
  }
  return true;
}

bool SameParts(const GaussianOptions& a, const GaussianOptions& b) {
  return a.covariance == b.covariance;
}
bool SameParts(const StudentTOptions& a, const StudentTOptions& b) {
  return a.covariance == b.covariance && a.shared_degrees_of_freedom == b.shared_degrees_of_freedom;
}
bool SameParts(const VonMisesFisherOptions& a, const VonMisesFisherOptions& b) {
  return a.shared_concentration == b.shared_concentration;
}
bool SameParts(const CategoricalOptions& a, const CategoricalOptions& b) {
  return SameSpread(a.first, b.first) && SameSpread(a.num_levels, b.num_levels);
}
bool SameParts(const ProductOptions& a, const ProductOptions& b);
// Layouts tell the rest.
template <typename Options>
bool SameParts(const Options&, const Options&) {
  return true;
}

template <typename Variant>
bool SameEmission(const Variant& a, const Variant& b) {
  if (a.index() != b.index()) return false;
  return std::visit(
      [&b](const auto& mine) { return SameParts(mine, std::get<std::decay_t<decltype(mine)>>(b)); },
      a);
}
bool SameParts(const ProductOptions& a, const ProductOptions& b) {
  return std::equal(a.parts.begin(), a.parts.end(), b.parts.begin(), b.parts.end(),
                    [](const ProductOptions::Part& x, const ProductOptions::Part& y) {
                      return x.name == y.name && x.num_columns == y.num_columns &&
                             SameEmission(x.emission, y.emission);
                    });
}

// `field` is num_components or num_states.
absl::Status CheckNumber(const char* field, int number, const Summary& summary) {
  if (!(number >= 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": got ", number, ", must be at least 1"));
  }
  if (number > summary.num_weighted_rows) {
    return absl::FailedPreconditionError(
        absl::StrCat(field, ": got ", number, ", must be at most ", summary.num_weighted_rows,
                     ", the number of rows with positive weight; use fewer or more rows"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Model>> Make(const MixtureOptions& options, const Summary& summary,
                                            const std::vector<std::string>& names) {
  absl::Status status = CheckNumber("num_components", options.num_components, summary);
  if (!status.ok()) return status;
  absl::StatusOr<std::unique_ptr<Emission>> emission =
      std::visit(EmissionMaker{options.num_components, summary, names}, options.emission);
  if (!emission.ok()) return OfEmission("", emission.status());
  if (options.noise) {
    if (!IsContinuous(options.emission)) {
      return absl::InvalidArgumentError(
          "noise: got true with an emission of counts, codes or directions, must be with a "
          "continuous one");
    }
    emission = WithNoise(*std::move(emission), summary, names);
    if (!emission.ok()) return emission.status();
  }
  return MakeMixture(*std::move(emission), {.weight_concentration = options.weight_concentration,
                                            .constraints = options.constraints});
}

absl::StatusOr<std::unique_ptr<Model>> Make(const KMeansOptions& options, const Summary& summary,
                                            const std::vector<std::string>& names) {
  absl::Status status = CheckNumber("num_components", options.num_components, summary);
  if (!status.ok()) return status;
  return MakeKMeans({.num_components = options.num_components,
                     .spherical = options.spherical,
                     .constraints = options.constraints},
                    summary, names);
}

absl::StatusOr<std::unique_ptr<Model>> Make(const HmmOptions& options, const Summary& summary,
                                            const std::vector<std::string>& names) {
  absl::Status status = CheckNumber("num_states", options.num_states, summary);
  if (!status.ok()) return status;
  absl::StatusOr<std::unique_ptr<Emission>> emission =
      std::visit(EmissionMaker{options.num_states, summary, names}, options.emission);
  if (!emission.ok()) return OfEmission("", emission.status());
  return MakeHmm(*std::move(emission),
                 {.initial = options.initial,
                  .transitions = options.transitions,
                  .allowed_transitions = options.allowed_transitions,
                  .initial_concentration = options.initial_concentration,
                  .transition_concentration = options.transition_concentration,
                  .stickiness = options.stickiness,
                  .durations = options.durations,
                  .max_duration = options.max_duration,
                  .duration_concentration = options.duration_concentration,
                  .constraints = options.constraints,
                  .shape_only = options.shape_only});
}

}  // namespace

std::span<const FamilyInfo> Families() { return kFamilies; }

bool HasCapability(std::string_view family, std::string_view capability) {
  return std::any_of(kFamilies.begin(), kFamilies.end(), [&](const FamilyInfo& info) {
    return info.name == family && std::find(info.capabilities.begin(), info.capabilities.end(),
                                            capability) != info.capabilities.end();
  });
}

bool HasOutput(const ModelOptions& options, std::string_view output) {
  const auto has = [output](std::string_view family) {
    return std::any_of(kFamilies.begin(), kFamilies.end(), [&](const FamilyInfo& info) {
      return info.name == family &&
             std::find(info.outputs.begin(), info.outputs.end(), output) != info.outputs.end();
    });
  };
  if (!has(FamilyName(options))) return false;
  const EmissionOptions* const emission = EmissionOf(options);
  if (emission == nullptr) return true;
  const auto* const product = std::get_if<ProductOptions>(emission);
  if (product == nullptr) return true;
  const size_t first = std::holds_alternative<HmmOptions>(options) ? kFirstHmm : 0;
  return std::all_of(product->parts.begin(), product->parts.end(),
                     [&](const ProductOptions::Part& part) {
                       return has(kFamilies[first + part.emission.index()].name);
                     });
}

std::span<const CapabilityInfo> Capabilities() { return kCapabilities; }

std::string_view FamilyName(const ModelOptions& options) {
  struct Index {
    size_t operator()(const MixtureOptions& mixture) const { return mixture.emission.index(); }
    size_t operator()(const KMeansOptions&) const { return kKMeans; }
    size_t operator()(const HmmOptions& hmm) const { return kFirstHmm + hmm.emission.index(); }
  };
  return kFamilies[std::visit(Index{}, options)].name;
}

int NumComponents(const ModelOptions& options) {
  struct Number {
    int operator()(const MixtureOptions& mixture) const {
      const bool one_more =
          mixture.noise && mixture.num_components < std::numeric_limits<int>::max();
      return mixture.num_components + (one_more ? 1 : 0);
    }
    int operator()(const KMeansOptions& kmeans) const { return kmeans.num_components; }
    int operator()(const HmmOptions& hmm) const { return hmm.num_states; }
  };
  return std::visit(Number{}, options);
}

const EmissionOptions* EmissionOf(const ModelOptions& options) {
  if (const auto* const mixture = std::get_if<MixtureOptions>(&options)) return &mixture->emission;
  if (const auto* const hmm = std::get_if<HmmOptions>(&options)) return &hmm->emission;
  return nullptr;
}
EmissionOptions* EmissionOf(ModelOptions& options) {
  return const_cast<EmissionOptions*>(EmissionOf(std::as_const(options)));
}

absl::StatusOr<ModelOptions> Resolved(const ModelOptions& options, const Summary& summary,
                                      const std::vector<std::string>& names) {
  ModelOptions resolved = options;
  if (EmissionOptions* const emission = EmissionOf(resolved)) {
    absl::Status status = std::visit(EmissionResolver{summary, names}, *emission);
    if (!status.ok()) return OfEmission("", status);
  }
  return resolved;
}

bool SameStructure(const ModelOptions& a, const ModelOptions& b) {
  if (a.index() != b.index()) return false;
  if (const auto* const kmeans = std::get_if<KMeansOptions>(&a)) {
    return kmeans->spherical == std::get<KMeansOptions>(b).spherical;
  }
  if (!SameEmission(*EmissionOf(a), *EmissionOf(b))) return false;
  const auto* const mixture = std::get_if<MixtureOptions>(&a);
  return mixture == nullptr || mixture->noise == std::get<MixtureOptions>(b).noise;
}

absl::StatusOr<std::unique_ptr<Model>> MakeModel(const ModelOptions& options,
                                                 const Summary& summary,
                                                 const std::vector<std::string>& names) {
  return std::visit([&](const auto& chosen) { return Make(chosen, summary, names); }, options);
}

}  // namespace emserve
