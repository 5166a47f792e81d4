#include "client/emctl/spec_options.h"

#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "proto/wire/model_spec.h"

namespace emserve::emctl {
namespace {

constexpr std::string_view kData = "Data";
constexpr std::string_view kModel = "Model";
constexpr std::string_view kSearch = "Search";
constexpr std::string_view kStop = "Stopping";
constexpr std::string_view kClimb = "Algorithm";

constexpr SpecOption kFit[] = {
    {"--columns", "columns", "NAMES", kData, "Columns to model, in this order: a,b,..."},
    {"--weights,--weights-column", "weight_column", "NAME", kData,
     "Column with the weight of each row, 0 or more"},
    {"--label", "label_column", "NAME", kData,
     "Column with the known component of each row, from 0; a missing cell: unknown.\n"
     "Names are taken as components in sorted order, which the fit then shows"},
    {"--plausibilities", "plausibility_columns", "NAMES", kData,
     "One column per component: how plausible it is for the row; zeros and ones\n"
     "are sets of allowed components"},
    {"--model", "model_id", "ID", kModel,
     "The result becomes the next version of models/ID, default the job's id, or\n"
     "the model that it updates"},
    {"--restarts", "restarts", "N", kSearch,
     "Independent starts, default 10, or 1 from a given start"},
    {"--seed", "seed", "N", kSearch, "Seed of all random choices, default 0"},
    {"--start", "start.method", "METHOD", kSearch,
     "How to start: auto (default), kmeans++, kmeans, kmeans-parallel, random-rows,\n"
     "random-responsibilities, short-runs or agglomerative"},
    {.name = "--start-responsibilities",
     .field = "start.responsibility_columns.columns",
     .value = "NAMES",
     .group = kSearch,
     .help = "Start at the responsibilities in these columns, one per component, or at the\n"
             "component that one column names",
     .sweeps = false},
    {"--short-runs", "start.short_runs", "N", kSearch,
     "Of short runs: climbs to choose from, default 10"},
    {"--short-iterations", "start.short_iterations", "N", kSearch,
     "Of short runs: most iterations of each, default 10"},
    {"--max-iterations", "stopping.max_iterations", "N", kStop,
     "Most iterations of each start, default 1000"},
    {"--tolerance,--relative-tolerance", "stopping.relative_tolerance", "X", kStop,
     "Converged at this relative change of the objective, default 1e-9; 0: off"},
    {"--absolute-tolerance", "stopping.absolute_tolerance", "X", kStop,
     "Converged at this change of the objective in nats, default off"},
    {"--parameter-tolerance", "stopping.parameter_tolerance", "X", kStop,
     "Converged when no parameter moves by more than this, relative, default off"},
    {"--aitken-tolerance", "stopping.aitken_tolerance", "X", kStop,
     "Converged when Aitken's limit is this near, in nats, default off"},
    {"--time-budget", "stopping.time_budget", "DURATION", kStop,
     "Stop the search after this time and take the best so far"},
    {"--algorithm", "variant.algorithm", "NAME", kClimb,
     "em (default), classification, stochastic, annealed or stepwise"},
    {"--stochastic-iterations", "variant.stochastic_iterations", "N", kClimb,
     "Iterations with drawn labels, default 100"},
    {"--initial-inverse-temperature", "variant.initial_inverse_temperature", "X", kClimb,
     "Where annealing begins, above 0 and below 1, default 0.1"},
    {"--temperature-growth", "variant.temperature_growth", "X", kClimb,
     "Factor from one inverse temperature to the next, from 1.001, default 1.25"},
    {"--stepwise-epochs", "variant.stepwise_epochs", "N", kClimb,
     "Passes over the data, default 5"},
    {"--stepwise-batch-rows", "variant.stepwise_batch_rows", "N", kClimb,
     "Rows in a mini-batch, default 4096"},
    {"--stepwise-exponent", "variant.stepwise_exponent", "X", kClimb,
     "Step t has size (t + delay)^-exponent, above 0.5, at most 1, default 0.7"},
    {"--stepwise-delay", "variant.stepwise_delay", "X", kClimb, "At least 1, default 2"},
    {"--accelerate", "acceleration", "NAME", kClimb, "none (default), squarem or anderson"},
    {"--anderson-depth", "anderson_depth", "N", kClimb,
     "Steps that anderson looks back, 1 to 100, default 5"},
    {"--collapse", "collapse", "POLICY", kClimb,
     "What happens to a collapsed component: ridge (default), fail, respawn or drop"},
    {"--max-respawns", "max_respawns", "N", kClimb, "Most respawns in a restart, default 10"},
    {"--storage", "storage", "TYPE", kClimb,
     "Cells while the fit runs: float64 (default) or float32; sums are float64"},
    {.name = "--update",
     .field = "update",
     .value = "",
     .group = kClimb,
     .help = "Keep what the model in --start-from has learnt",
     .sweeps = false},
    {.name = "--update-weight",
     .field = "update.weight",
     .value = "X",
     .group = kClimb,
     .help = "Observations that it counts for, default all that it has seen; implies --update",
     .sweeps = false},
};

constexpr SpecOption kSequences[] = {
    {"--sequence-column", "column", "NAME", kData,
     "Column of the sequences' numbers or names: rows that follow each other with the\n"
     "same one are a sequence; default one sequence of all rows"},
    {"--sequence-lengths", "lengths.lengths", "N,N,...", kData,
     "Rows of each sequence, together all rows, instead of a column"},
    {"--sequence-weights", "weights", "X,X,...", kData,
     "Weight of each sequence, 0 or more: 2 equals the sequence twice; default all 1"},
};
static_assert(std::size(kSequences) > kNumCuts);

constexpr SpecOption kComponents = {"-k,--components", "num_components", "N", kModel,
                                    "Number of components, default 1"};
constexpr SpecOption kWeightConcentration = {"--weight-concentration", "weight_concentration", "X",
                                             kModel,
                                             "Dirichlet prior on the weights, default 1, none"};

constexpr SpecOption kMixture[] = {
    kComponents,
    kWeightConcentration,
};

// Of continuous emissions.
constexpr SpecOption kMixtureWithNoise[] = {
    kComponents,
    kWeightConcentration,
    {"--noise", "noise", "", kModel,
     "One component more, the last, uniform over the box of the data"},
};

constexpr SpecOption kKMeans[] = {
    kComponents,
    {"--spherical", "spherical", "", kModel, "Rows and centres are unit vectors"},
};

constexpr SpecOption kHiddenMarkov[] = {
    {"-k,--states,--components", "num_states", "N", kModel, "Number of states, default 1"},
    {"--initial", "initial", "NAME", kModel,
     "How sequences begin: free (default), or stationary, as the chain goes on"},
    {"--transitions", "transitions", "NAME", kModel,
     "Which there are: full (default); left-right, to the state itself and later ones;\n"
     "stepwise, to itself and the next one"},
    {"--initial-concentration", "initial_concentration", "X", kModel,
     "Dirichlet prior on a free initial distribution, default 1, none"},
    {"--transition-concentration", "transition_concentration", "X", kModel,
     "Dirichlet prior on each state's transitions, default 1, none"},
    {"--stickiness", "stickiness", "X", kModel,
     "Added to the prior of staying in a state, default 0; more: states last longer"},
    {"--durations", "durations", "NAME", kModel,
     "How long states last: geometric (default), or, with --max-duration, free, poisson\n"
     "or negative-binomial (hidden semi-Markov model)"},
    {"--max-duration", "max_duration", "N", kModel, "Most steps that a state lasts"},
    {"--duration-concentration", "duration_concentration", "X", kModel,
     "Dirichlet prior on each state's free durations, default 1, none"},
};

constexpr std::string_view kCovarianceHelp =
    "full, tied, diagonal, tied-diagonal, spherical, tied-spherical (mclust: VVV, EEE,\n"
    "VVI, EEI, VII, EII), VEI, EVI, VEE, EVE, VVE, EEV, VEV or EVV; default full";
constexpr std::string_view kRidgeHelp =
    "Smallest variance in any direction, as a share of the columns' own";

// A conjugate prior of means and covariances.
constexpr SpecOption kPrior = {"--prior", "prior", "", kModel,
                               "Conjugate prior of means and covariances, with its defaults"};
constexpr SpecOption kPriorMean = {"--prior-mean", "prior.mean", "X,X,...", kModel,
                                   "Its mean, default the columns' means"};
constexpr SpecOption kPriorShrinkage = {"--prior-shrinkage", "prior.shrinkage", "X", kModel,
                                        "Observations' worth of that mean, default 0.01"};
constexpr SpecOption kPriorDegreesOfFreedom = {"--prior-degrees-of-freedom",
                                               "prior.degrees_of_freedom", "X", kModel,
                                               "Of the inverse Wishart, default columns + 2"};
constexpr SpecOption kPriorScale = {"--prior-scale", "prior.scale", "X,X,...", kModel,
                                    "Its scale matrix, row by row"};

constexpr SpecOption kGaussian[] = {
    {"--covariance", "covariance", "NAME", kModel, kCovarianceHelp},
    {"--ridge", "ridge", "X", kModel, kRidgeHelp},
    kPrior,
    kPriorMean,
    kPriorShrinkage,
    kPriorDegreesOfFreedom,
    kPriorScale,
};

constexpr SpecOption kStudentT[] = {
    {"--covariance", "covariance", "NAME", kModel, kCovarianceHelp},
    {"--ridge", "ridge", "X", kModel, kRidgeHelp},
    {"--degrees-of-freedom", "degrees_of_freedom", "X", kModel,
     "Around which starts are made, default 30, or kept with --fixed-degrees-of-freedom"},
    {"--fixed-degrees-of-freedom", "estimate_degrees_of_freedom", "", kModel,
     "Do not estimate the degrees of freedom", "false"},
    {"--shared-degrees-of-freedom", "shared_degrees_of_freedom", "", kModel,
     "The same for all components"},
    {"--minimum-degrees-of-freedom", "minimum_degrees_of_freedom", "X", kModel, "Default 0.1"},
    {"--maximum-degrees-of-freedom", "maximum_degrees_of_freedom", "X", kModel, "Default 1e6"},
    kPrior,
    kPriorMean,
    kPriorShrinkage,
    kPriorDegreesOfFreedom,
    kPriorScale,
};

constexpr SpecOption kBernoulli[] = {
    {"--alpha", "alpha", "X", kModel, "Beta prior: alpha - 1 virtual ones, default 1, none"},
    {"--beta", "beta", "X", kModel, "Beta prior: beta - 1 virtual zeros, default 1, none"},
};

constexpr SpecOption kCategorical[] = {
    {"--first", "first", "N,N,...", kModel,
     "Smallest code of each column, or of all; default that of the data"},
    {"--levels", "num_levels", "N,N,...", kModel,
     "Number of codes of each column, or of all; default those of the data"},
    {"--concentration", "concentration", "X", kModel,
     "Dirichlet prior on the probabilities, default 1, none"},
};

constexpr SpecOption kMultinomial[] = {
    {"--concentration", "concentration", "X", kModel,
     "Dirichlet prior on the probabilities, default 1, none"},
    {"--trials", "trials", "N", kModel, "Total of a sampled row, default the mean total"},
};

constexpr SpecOption kPoisson[] = {
    {"--prior-shape", "prior.shape", "X", kModel, "Gamma prior of the rates, default 1, flat"},
    {"--prior-rate", "prior.rate", "X", kModel, "Gamma prior of the rates, default 0, flat"},
};

constexpr SpecOption kNegativeBinomial[] = {
    {"--mean-prior-shape", "mean_prior.shape", "X", kModel, "Gamma prior of the means"},
    {"--mean-prior-rate", "mean_prior.rate", "X", kModel, "Gamma prior of the means"},
    {"--dispersion-prior-shape", "dispersion_prior.shape", "X", kModel,
     "Gamma prior of the dispersions"},
    {"--dispersion-prior-rate", "dispersion_prior.rate", "X", kModel,
     "Gamma prior of the dispersions"},
};

constexpr SpecOption kExponential[] = {
    {"--ridge", "ridge", "X", kModel, "Smallest variance, as a share of an exponential column's"},
    {"--prior-shape", "prior.shape", "X", kModel, "Gamma prior of the rates, default 1, flat"},
    {"--prior-rate", "prior.rate", "X", kModel, "Gamma prior of the rates, default 0, flat"},
};

constexpr SpecOption kGamma[] = {
    {"--ridge", "ridge", "X", kModel,
     "Smallest squared coefficient of variation, as a share of the column's own"},
    {"--prior-observations", "prior.observations", "X", kModel,
     "Prior: virtual observations, default 0, none"},
    {"--prior-mean", "prior.mean", "X", kModel, "Their mean, default 1"},
    {"--prior-shape", "prior.shape", "X", kModel, "Their shape, default 1"},
};

constexpr SpecOption kLogNormal[] = {
    {"--ridge", "ridge", "X", kModel,
     "Smallest variance of the logarithms, as a share of the column's own"},
    {"--prior", "prior", "", kModel, "Conjugate prior of the logarithms, with its defaults"},
    {"--prior-mean", "prior.mean", "X", kModel, "Its mean, default 0"},
    {"--prior-observations", "prior.observations", "X", kModel,
     "Observations' worth of that mean, default 1"},
    {"--prior-shape", "prior.shape", "X", kModel, "Of the inverse gamma, default 1"},
    {"--prior-scale", "prior.scale", "X", kModel, "Of the inverse gamma, default 1"},
};

constexpr SpecOption kVonMisesFisher[] = {
    {"--shared-concentration", "shared_concentration", "", kModel,
     "One concentration for all components"},
    {"--prior-mean", "prior_mean", "X,X,...", kModel,
     "Mean vector of the prior, of length at most 1, default 0"},
    {"--prior-strength", "prior_strength", "X", kModel,
     "Observations' worth of the prior, default 0, none"},
};

constexpr std::string_view kMixturePath = "mixture";
constexpr std::string_view kHiddenMarkovPath = "hidden_markov";

constexpr FamilyCommand kFamilies[] = {
    {"gaussian-mixture", "", "gaussian", "Gaussian mixture", "Mixture of multivariate normals",
     "mixture.emission.gaussian", kMixturePath, kMixtureWithNoise, kGaussian},
    {"student-t-mixture", "", "student-t", "Student-t mixture",
     "Mixture of multivariate t distributions: heavy tails", "mixture.emission.student_t",
     kMixturePath, kMixtureWithNoise, kStudentT},
    {.name = "bernoulli-mixture",
     .alias = "",
     .emission = "bernoulli",
     .title = "Bernoulli mixture",
     .help = "Mixture of independent columns of zeros and ones",
     .message = "mixture.emission.bernoulli",
     .structure = kMixturePath,
     .structure_options = kMixture,
     .options = kBernoulli,
     .takes_categories = true},
    {.name = "categorical-mixture",
     .alias = "latent-class",
     .emission = "categorical",
     .title = "Categorical mixture",
     .help = "Latent class analysis: mixture of independent columns of categories",
     .message = "mixture.emission.categorical",
     .structure = kMixturePath,
     .structure_options = kMixture,
     .options = kCategorical,
     .takes_categories = true},
    {.name = "multinomial-mixture",
     .alias = "",
     .emission = "multinomial",
     .title = "Multinomial mixture",
     .help = "Mixture of multinomials: rows of counts",
     .message = "mixture.emission.multinomial",
     .structure = kMixturePath,
     .structure_options = kMixture,
     .options = kMultinomial,
     .takes_missing = false},
    {"poisson-mixture", "", "poisson", "Poisson mixture", "Mixture of independent counts",
     "mixture.emission.poisson", kMixturePath, kMixture, kPoisson},
    {"negative-binomial-mixture", "", "negative-binomial", "Negative binomial mixture",
     "Mixture of independent counts that vary more than Poisson's",
     "mixture.emission.negative_binomial", kMixturePath, kMixture, kNegativeBinomial},
    {"exponential-mixture", "", "exponential", "Exponential mixture",
     "Mixture of independent waiting times", "mixture.emission.exponential", kMixturePath,
     kMixtureWithNoise, kExponential},
    {"gamma-mixture", "", "gamma", "Gamma mixture", "Mixture of independent positive columns",
     "mixture.emission.gamma", kMixturePath, kMixtureWithNoise, kGamma},
    {"log-normal-mixture", "", "log-normal", "Log-normal mixture",
     "Mixture of independent positive columns with normal logarithms",
     "mixture.emission.log_normal", kMixturePath, kMixtureWithNoise, kLogNormal},
    {.name = "von-mises-fisher-mixture",
     .alias = "",
     .emission = "von-mises-fisher",
     .title = "Von Mises-Fisher mixture",
     .help = "Mixture of directions",
     .message = "mixture.emission.von_mises_fisher",
     .structure = kMixturePath,
     .structure_options = kMixture,
     .options = kVonMisesFisher,
     .takes_missing = false},
    {"product-mixture",
     "",
     "product",
     "Product mixture",
     "Mixture whose blocks of columns have emissions of their own: mixed types of data",
     "mixture.emission.product",
     kMixturePath,
     kMixtureWithNoise,
     {}},
    {"kmeans", "", "", "k-means", "k-means and spherical k-means", "kmeans", "kmeans", kKMeans, {}},
    {.name = "gaussian-hmm",
     .alias = "",
     .emission = "gaussian",
     .title = "Gaussian hidden Markov model",
     .help = "Hidden Markov model of multivariate normals",
     .message = "hidden_markov.emission.gaussian",
     .structure = kHiddenMarkovPath,
     .structure_options = kHiddenMarkov,
     .options = kGaussian},
    {.name = "student-t-hmm",
     .alias = "",
     .emission = "student-t",
     .title = "Student-t hidden Markov model",
     .help = "Hidden Markov model of multivariate t distributions: heavy tails",
     .message = "hidden_markov.emission.student_t",
     .structure = kHiddenMarkovPath,
     .structure_options = kHiddenMarkov,
     .options = kStudentT},
    {.name = "bernoulli-hmm",
     .alias = "",
     .emission = "bernoulli",
     .title = "Bernoulli hidden Markov model",
     .help = "Hidden Markov model of independent columns of zeros and ones",
     .message = "hidden_markov.emission.bernoulli",
     .structure = kHiddenMarkovPath,
     .structure_options = kHiddenMarkov,
     .options = kBernoulli,
     .takes_categories = true},
    {.name = "categorical-hmm",
     .alias = "",
     .emission = "categorical",
     .title = "Categorical hidden Markov model",
     .help = "Hidden Markov model of independent columns of categories",
     .message = "hidden_markov.emission.categorical",
     .structure = kHiddenMarkovPath,
     .structure_options = kHiddenMarkov,
     .options = kCategorical,
     .takes_categories = true},
    {.name = "multinomial-hmm",
     .alias = "",
     .emission = "multinomial",
     .title = "Multinomial hidden Markov model",
     .help = "Hidden Markov model of multinomials: rows of counts",
     .message = "hidden_markov.emission.multinomial",
     .structure = kHiddenMarkovPath,
     .structure_options = kHiddenMarkov,
     .options = kMultinomial,
     .takes_missing = false},
    {.name = "poisson-hmm",
     .alias = "",
     .emission = "poisson",
     .title = "Poisson hidden Markov model",
     .help = "Hidden Markov model of independent counts",
     .message = "hidden_markov.emission.poisson",
     .structure = kHiddenMarkovPath,
     .structure_options = kHiddenMarkov,
     .options = kPoisson},
    {.name = "negative-binomial-hmm",
     .alias = "",
     .emission = "negative-binomial",
     .title = "Negative binomial hidden Markov model",
     .help = "Hidden Markov model of independent counts that vary more than Poisson's",
     .message = "hidden_markov.emission.negative_binomial",
     .structure = kHiddenMarkovPath,
     .structure_options = kHiddenMarkov,
     .options = kNegativeBinomial},
    {.name = "exponential-hmm",
     .alias = "",
     .emission = "exponential",
     .title = "Exponential hidden Markov model",
     .help = "Hidden Markov model of independent waiting times",
     .message = "hidden_markov.emission.exponential",
     .structure = kHiddenMarkovPath,
     .structure_options = kHiddenMarkov,
     .options = kExponential},
    {.name = "gamma-hmm",
     .alias = "",
     .emission = "gamma",
     .title = "Gamma hidden Markov model",
     .help = "Hidden Markov model of independent positive columns",
     .message = "hidden_markov.emission.gamma",
     .structure = kHiddenMarkovPath,
     .structure_options = kHiddenMarkov,
     .options = kGamma},
    {.name = "log-normal-hmm",
     .alias = "",
     .emission = "log-normal",
     .title = "Log-normal hidden Markov model",
     .help = "Hidden Markov model of independent positive columns with normal logarithms",
     .message = "hidden_markov.emission.log_normal",
     .structure = kHiddenMarkovPath,
     .structure_options = kHiddenMarkov,
     .options = kLogNormal},
    {.name = "von-mises-fisher-hmm",
     .alias = "",
     .emission = "von-mises-fisher",
     .title = "Von Mises-Fisher hidden Markov model",
     .help = "Hidden Markov model of directions",
     .message = "hidden_markov.emission.von_mises_fisher",
     .structure = kHiddenMarkovPath,
     .structure_options = kHiddenMarkov,
     .options = kVonMisesFisher,
     .takes_missing = false},
    {.name = "product-hmm",
     .alias = "",
     .emission = "product",
     .title = "Product hidden Markov model",
     .help = "Hidden Markov model of blocks of columns with emissions of their own: mixed types of "
             "data",
     .message = "hidden_markov.emission.product",
     .structure = kHiddenMarkovPath,
     .structure_options = kHiddenMarkov,
     .options = {}},
};

}  // namespace

std::span<const SpecOption> FitSpecOptions() { return kFit; }

std::span<const SpecOption> SequenceOptions() { return kSequences; }

std::span<const FamilyCommand> FamilyCommands() { return kFamilies; }

const FamilyCommand* FindEmission(std::string_view name) {
  const std::string word =
      absl::StrReplaceAll(absl::string_view(name.data(), name.size()), {{"_", "-"}});
  for (const FamilyCommand& family : kFamilies) {
    if (!family.emission.empty() && family.emission == word) return &family;
  }
  return nullptr;
}

const FamilyCommand* FindFamilyOfField(std::string_view field) {
  for (const FamilyCommand& family : kFamilies) {
    if (family.message.substr(family.message.rfind('.') + 1) == field) return &family;
  }
  return nullptr;
}

const FamilyCommand* FindFamily(const v1::ModelSpec& spec) {
  std::string path = "kmeans";
  if (!spec.has_kmeans()) {
    const google::protobuf::FieldDescriptor* const field =
        v1::EmissionSpec::GetReflection()->GetOneofFieldDescriptor(
            EmissionOf(spec), v1::EmissionSpec::descriptor()->oneof_decl(0));
    if (field == nullptr) return nullptr;
    path = absl::StrCat(std::string(spec.has_hidden_markov() ? kHiddenMarkovPath : kMixturePath),
                        ".emission.", field->name());
  }
  for (const FamilyCommand& family : kFamilies) {
    if (family.message == path) return &family;
  }
  return nullptr;
}

const SpecOption* FindOption(std::span<const SpecOption> options, std::string_view name) {
  for (const SpecOption& option : options) {
    const std::string names(option.name);
    for (const absl::string_view one : absl::StrSplit(names, ',')) {
      const size_t start = one.find_first_not_of('-');
      if (one == absl::string_view(name.data(), name.size()) ||
          one.substr(start) == absl::string_view(name.data(), name.size())) {
        return &option;
      }
    }
  }
  return nullptr;
}

std::string OptionName(const SpecOption& option) {
  return absl::StrReplaceAll(std::string(option.name), {{",", "/"}});
}

}  // namespace emserve::emctl
