// All options in one place: CLI11 costs seconds of compile time in every file that includes it.
#include "client/emctl/arguments.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "client/csv.h"
#include "client/emctl/datasets.h"
#include "client/emctl/exit_status.h"
#include "client/emctl/info.h"
#include "client/emctl/jobs.h"
#include "client/emctl/models.h"
#include "client/emctl/number_word.h"
#include "client/emctl/predict.h"
#include "client/emctl/set_field.h"
#include "client/emctl/spec_options.h"
#include "client/emctl/sweep.h"
#include "client/emctl/text.h"
#include "client/emctl/words.h"

namespace emserve::emctl {
namespace {

constexpr char kFooter[] =
    "Exit status: 0 done; 1 the job failed or was cancelled, or anything else went wrong;\n"
    "2 it cannot be done as typed: wrong usage, bad data, a request that the server refuses as\n"
    "invalid, a name that is not there or is taken; 3 the server cannot be reached.\n"
    "Results go to the standard output, progress and errors to the standard error; with --json\n"
    "an error is also a document {\"error\": {\"code\", \"message\"}} on the standard output.\n"
    "Ctrl-C cancels the running fit or ends the transfer; a second one quits.";

constexpr char kDataHelp[] =
    "CSV with a header, TSV or .npy; - for the standard input.\n"
    "Columns of text are left out, unless they hold the categories of a family that takes them.\n"
    "An empty line is a row with a missing cell if there is one column, else an error, but at\n"
    "the end";

// Of emctl sample, a field of SequenceLengths.
constexpr SpecOption kLengthsToDraw[] = {
    {"--sequence-lengths", "lengths", "N,N,...", "Sequences",
     "Draw sequences of so many rows, of a model of sequences"},
};

// Options, and the command that was chosen. Everything that CLI11 writes into lives here.
struct Command {
  Invocation invocation;
  SweepOptions sweep;  // of which fits use the base
  PredictArguments predict;
  SampleArguments sample;
  UploadArguments upload;
  std::string name;
  std::string second;  // an alias or a file
  std::vector<std::string> names;
  std::vector<std::string> states;
  std::vector<std::string> tags;
  std::vector<std::string> removed_tags;
  int64_t limit = 100;
  bool flag = false;
};

// An option whose words are translated by `parse`; `must` says which there are.
template <typename T, typename Parse>
CLI::Option* AddWord(CLI::App* app, const std::string& name, T& value, Parse parse,
                     const std::string& must, const std::string& help) {
  return app->add_option_function<std::string>(
      name,
      [&value, parse, must, name](const std::string& word) {
        const auto parsed = parse(word);
        if (!parsed.has_value()) {
          throw CLI::ValidationError(absl::StrReplaceAll(name, {{",", "/"}}),
                                     absl::StrCat("got ", word, ", must be ", must));
        }
        value = *parsed;
      },
      help);
}

// A number option that takes nothing but a number of its type (number_word.h).
template <typename Number, typename Value>
CLI::Option* AddNumber(CLI::App* app, const std::string& name, Value& value,
                       const std::string& help) {
  return app
      ->add_option_function<std::string>(
          name,
          [&value, name](const std::string& word) {
            Number number = 0;
            const std::string must = ParseNumberInto(word, number);
            if (must.empty()) {
              value = number;
              return;
            }
            throw CLI::ValidationError(absl::StrReplaceAll(name, {{",", "/"}}),
                                       absl::StrCat("got ", word, ", must be ", must));
          },
          help)
      ->type_name("N");
}

void AddDuration(CLI::App* app, const std::string& name, std::optional<absl::Duration>& value,
                 const std::string& help) {
  AddWord(app, name, value, ParseSeconds, "a positive duration such as 90s, 5m or 1h30m", help)
      ->type_name("DURATION");
}

// How a CSV file is to be read.
void AddReading(CLI::App* app, client::DataFileOptions& reading, const std::string& group) {
  CLI::Option* no_header = app->add_flag_callback(
                                  "--no-header", [&reading] { reading.header = false; },
                                  "The first line is data; columns are c0, c1, ...")
                               ->group(group);
  app->add_flag_callback(
         "--header", [&reading] { reading.header = true; },
         "The first line names the columns although it holds only numbers")
      ->group(group)
      ->excludes(no_header);
  AddWord(app, "--separator", reading.separator, ParseSeparator,
          "one character such as ; or |, or tab",
          "Between the fields of a line: , (default), ; or tab (default for .tsv)")
      ->type_name("CHAR")
      ->group(group);
  app->add_option_function<std::string>(
         "--missing",
         [&reading](const std::string& words) {
           const auto split = client::SplitCsvRecord(words);
           if (!split.ok()) throw CLI::ValidationError("--missing", "must be words with commas");
           reading.missing = *split;
         },
         "Cells that are missing, beside empty ones; default NA,NaN,?, in any case")
      ->type_name("WORDS")
      ->group(group);
}

// The options of a list, each of which sets its field of `spec` below `prefix`.
void AddSpecOptions(CLI::App* app, std::span<const SpecOption> options, const std::string& prefix,
                    bool is_sweep, google::protobuf::Message& spec) {
  for (const SpecOption& option : options) {
    if (is_sweep && !option.sweeps) continue;
    const std::string path = prefix + std::string(option.field);
    const auto set = [&spec, &option, path](const std::string& word) {
      const std::string must = SetField(spec, path, word);
      if (must.empty()) return;
      throw CLI::ValidationError(OptionName(option),
                                 absl::StrCat("got ", word, ", must be ", must));
    };
    const std::string name(option.name);
    CLI::Option* added = nullptr;
    if (option.value.empty()) {
      added = app->add_flag_callback(
          name, [set, &option] { set(std::string(option.flag)); }, std::string(option.help));
    } else {
      added = app->add_option_function<std::string>(name, set, std::string(option.help))
                  ->type_name(std::string(option.value));
    }
    added->group(std::string(option.group));
  }
}

// Those of which only one makes sense.
void ExcludeEachOther(CLI::App* app, const std::vector<std::string>& names) {
  for (size_t i = 0; i < names.size(); ++i) {
    for (size_t j = 0; j < i; ++j) app->get_option(names[i])->excludes(app->get_option(names[j]));
  }
}

void AddCommon(CLI::App* app, CommonOptions& common) {
  client::ConnectOptions& connect = common.connect;
  app->add_flag("--json", common.json,
                "One JSON document on the standard output, of an error too. Infinite numbers are\n"
                "the strings \"Infinity\" and \"-Infinity\", missing ones null")
      ->group("Output");
  app->add_flag("-q,--quiet", common.quiet, "No progress and no remarks")->group("Output");
  app->add_option("--server", connect.address,
                  "Address of the server (or EMSERVE_SERVER), default 127.0.0.1:50551")
      ->type_name("HOST:PORT")
      ->group("Connection");
  app->add_flag("--tls", connect.tls, "Use TLS, with the system's authorities")
      ->group("Connection");
  const auto tls_file = [&](const std::string& name, std::string& value, const std::string& help) {
    app->add_option_function<std::string>(
           name,
           [&value, &connect](const std::string& text) {
             value = text;
             connect.tls = true;
           },
           help)
        ->type_name("FILE")
        ->group("Connection");
  };
  tls_file("--tls-ca", connect.tls_ca_file, "Authorities to trust, PEM; implies --tls");
  tls_file("--tls-cert", connect.tls_cert_file, "Own certificate, PEM; implies --tls");
  tls_file("--tls-key", connect.tls_key_file, "Key of the certificate, PEM");
  app->add_option("--tls-server-name", connect.tls_server_name,
                  "Name in the server's certificate, default the host in --server")
      ->type_name("NAME")
      ->group("Connection");
  AddWord(app, "--connect-timeout", connect.connect_timeout, ParseSeconds,
          "a positive duration such as 10s",
          "How long to wait for the server to answer, default 10s")
      ->type_name("DURATION")
      ->group("Connection");
}

class CommandLine {
 public:
  explicit CommandLine(Command& command)
      : app_("emctl: fit latent-variable models on an emserve server, and use them.", "emctl"),
        command_(command) {
    app_.set_version_flag("--version", "emctl " EMSERVE_VERSION);
    app_.require_subcommand(1);
    app_.get_formatter()->column_width(34);
    app_.footer(kFooter);
    AddFit();
    AddSweep();
    AddPredict();
    AddSample();
    AddJobs();
    AddModels();
    AddDatasets();
    Leaf(&app_, "info", "What the server is, can do and allows",
         [](Session& session, const Command&) { return ShowServerInfo(session); })
        ->alias("capabilities");
    // Last, so that help shows the options of the command itself first.
    AddCommon(&app_, command.invocation.common);
    for (CLI::App* leaf : leaves_) AddCommon(leaf, command.invocation.common);
  }

  CLI::App& app() { return app_; }

 private:
  using Run = std::function<absl::Status(Session&, const Command&)>;

  CLI::App* Group(const std::string& name, const std::string& alias, const std::string& help) {
    CLI::App* group = app_.add_subcommand(name, help);
    if (!alias.empty()) group->alias(alias);
    group->require_subcommand(1);
    return group;
  }

  CLI::App* Leaf(CLI::App* parent, const std::string& name, const std::string& help, Run run) {
    CLI::App* leaf = parent->add_subcommand(name, help);
    leaves_.push_back(leaf);
    leaf->callback([this, run] {
      command_.invocation.run = [this, run](Session& session) { return run(session, command_); };
    });
    return leaf;
  }

  CLI::App* WithName(CLI::App* leaf, const std::string& what, const std::string& help) {
    leaf->add_option(what, command_.name, help)->required();
    return leaf;
  }

  CLI::App* WithNames(CLI::App* leaf, const std::string& what, const std::string& help) {
    leaf->add_option(what, command_.names, help)->required();
    return leaf;
  }

  CLI::App* WithLimit(CLI::App* leaf) {
    AddWord(
        leaf, "-n,--limit", command_.limit,
        [](const std::string& word) -> std::optional<int64_t> {
          int64_t limit = 0;
          const bool fits = absl::SimpleAtoi(word, &limit) && limit >= 1 && limit <= 1'000'000;
          return fits ? std::optional(limit) : std::nullopt;
        },
        "an integer from 1 to 1000000", "Most entries to show, default 100")
        ->type_name("N");
    return leaf;
  }

  void AddFit() {
    CLI::App* fit = Group("fit", "", "Fit a model to data");
    for (const FamilyCommand& family : FamilyCommands()) {
      CLI::App* leaf = Leaf(fit, std::string(family.name), std::string(family.help),
                            [&family](Session& session, const Command& command) {
                              FitOptions options = command.sweep.base;
                              options.family = &family;
                              return FitModel(session, options);
                            });
      if (!family.alias.empty()) leaf->alias(std::string(family.alias));
      AddFitOptions(leaf, family, family.structure_options, /*is_sweep=*/false);
      leaf->footer(absl::StrCat(
          "Example:\n  emctl fit ", std::string(family.name), " --data data.csv ",
          family.sequential() ? "--states" : "-k", " 3 --restarts 10 --seed 1 --model mine",
          family.emission == "product" ? " \\\n    --part size=gaussian:height,weight "
                                         "--part kind=categorical:colour \\\n"
                                         "    --part-option size.covariance=diagonal"
                                       : ""));
    }
  }

  void AddSweep() {
    CLI::App* sweep = Group("sweep", "",
                            "Fit a model with many numbers of components and structures, and keep "
                            "the best");
    for (const FamilyCommand& family : FamilyCommands()) {
      CLI::App* leaf = Leaf(sweep, std::string(family.name), std::string(family.help),
                            [&family](Session& session, const Command& command) {
                              SweepOptions options = command.sweep;
                              options.base.family = &family;
                              return SweepModels(session, options);
                            });
      if (!family.alias.empty()) leaf->alias(std::string(family.alias));
      SweepOptions& options = command_.sweep;
      const auto group = "Sweep";
      // The one that comes first, a list here.
      leaf->add_option(std::string(family.structure_options[0].name), options.components,
                       absl::StrCat("Numbers of ", family.sequential() ? "states" : "components",
                                    ", such as 1-9 or 2,3,5-7, default 1"))
          ->type_name("LIST")
          ->group(group);
      if (FindOption(family.options, "covariance") != nullptr) {
        leaf->add_option("--covariances", options.covariances,
                         "all, or names as of --covariance with commas")
            ->type_name("NAMES")
            ->group(group);
      }
      if (!family.emission.empty()) {
        leaf->add_option("--emissions", options.emissions,
                         "Families to compare, with commas, such as gaussian,student-t; this\n"
                         "command's own has its options, the others their defaults")
            ->type_name("NAMES")
            ->group(group);
      }
      AddWord(
          leaf, "--criterion", options.criterion,
          [](const std::string& word) -> std::optional<v1::SweepCriterion> {
            const auto value = ParseEnumWord(*v1::SweepCriterion_descriptor(), word);
            if (!value.has_value()) return std::nullopt;
            return static_cast<v1::SweepCriterion>(*value);
          },
          absl::StrJoin(EnumOptionWords(*v1::SweepCriterion_descriptor()), ", "),
          "What the best is chosen by: bic (default), aic, icl or log-likelihood; kmeans has\n"
          "only the last, which is then minus the sum of squares")
          ->type_name("NAME")
          ->group(group);
      AddFitOptions(leaf, family, family.structure_options.subspan(1), /*is_sweep=*/true);
      leaf->footer(
          absl::StrCat("Example:\n  emctl sweep ", std::string(family.name), " --data data.csv ",
                       family.sequential() ? "--states" : "--components", " 1-9 --model mine"));
    }
  }

  void AddFitOptions(CLI::App* leaf, const FamilyCommand& family,
                     std::span<const SpecOption> structure_options, bool is_sweep) {
    FitOptions& options = command_.sweep.base;
    const auto data = "Data";
    leaf->add_option("--data", options.data, kDataHelp)->type_name("FILE")->group(data);
    leaf->add_option("--dataset", options.dataset, "Use data that is on the server instead")
        ->type_name("DATASET")
        ->group(data);
    AddReading(leaf, options.reading, data);
    if (family.sequential()) {
      AddSpecOptions(leaf, SequenceOptions(), "sequences.", is_sweep, options.spec);
      ExcludeEachOther(leaf, {"--sequence-column", "--sequence-lengths"});
    }
    leaf->add_option("--keep", options.keep,
                     "Keep the uploaded data on the server as datasets/ID; without it the data\n"
                     "is deleted when the fit has it")
        ->type_name("ID")
        ->group(data);
    AddSpecOptions(leaf, structure_options,
                   absl::StrCat("model.", std::string(family.structure), "."), is_sweep,
                   options.spec);
    AddSpecOptions(leaf, family.options, absl::StrCat("model.", std::string(family.message), "."),
                   is_sweep, options.spec);
    AddSpecOptions(leaf, FitSpecOptions(), "", is_sweep, options.spec);
    const auto add_words = [leaf](const std::string& name, std::vector<std::string>& words,
                                  const std::string& type, const std::string& help) {
      leaf->add_option(name, words, help)
          ->type_name(type)
          ->allow_extra_args(false)
          ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
          ->group("Model");
    };
    if (family.sequential() && !is_sweep) {  // whose candidates differ in their states
      add_words("--allow-transition", options.allow_transitions, "I,J",
                "One from state I to state J beside those of --transitions (repeatable)");
      add_words("--forbid-transition", options.forbid_transitions, "I,J",
                "None from state I to state J (repeatable)");
    }
    if (family.emission == "product") {
      add_words("--part", options.parts, "NAME=FAMILY:COLUMN,COLUMN,...",
                "Columns with an emission of their own (repeatable)");
      add_words("--part-option", options.part_options, "NAME.OPTION=VALUE",
                "An option of a part's family, such as size.covariance=diagonal (repeatable)");
    }
    add_words(
        "--fix", options.fix, "ARRAY[I,J]=VALUE",
        "Keep a parameter at a value (repeatable). Indices count from 0, components first; a\n"
        "column or category may stand by its name; one index alone counts row by row, of\n"
        "covariances it is a matrix. An array without indices is fixed whole, to one value or\n"
        "one for each element");
    add_words("--tie", options.tie, "ARRAY[I,J]=ARRAY[K,L]",
              "Keep parameters of one array equal, covariances[I]=covariances[K] whole matrices\n"
              "(repeatable); ARRAY alone: all of it");
    if (!is_sweep) {  // whose candidates differ in their parameters
      leaf->add_option("--start-from", options.start_from,
                       "Start at the parameters in a file, as --json prints them, or at a stored\n"
                       "model")
          ->type_name("FILE.json|MODEL")
          ->group("Search");
      ExcludeEachOther(leaf, {"--start", "--start-from", "--start-responsibilities"});
    }
    AddDuration(leaf, "--timeout", options.timeout, "Fail the job after this time");
    leaf->get_option("--timeout")->group("Stopping");
    leaf->add_flag("--detach", options.detach, "Print the job's name and do not wait for it");
  }

  void AddPredict() {
    CLI::App* leaf = Leaf(
        &app_, "predict", "Predict rows with a model",
        [](Session& session, const Command& command) { return Predict(session, command.predict); });
    PredictArguments& arguments = command_.predict;
    leaf->add_option("MODEL", arguments.model, "NAME, NAME@ALIAS or NAME/versions/N")->required();
    leaf->add_option("--data", arguments.data,
                     "File as for fit; its columns are matched to the model's by name, those of\n"
                     "a file without names by order")
        ->type_name("FILE");
    AddReading(leaf, arguments.reading, "Data");
    leaf->add_flag(
            "--by-position", arguments.reading.by_position,
            "Match the columns of --data to the model's by order, whatever their names; that of\n"
            "--sequence-column comes last")
        ->group("Data");
    AddSpecOptions(leaf, SequenceOptions().first(kNumCuts), "", /*is_sweep=*/false,
                   arguments.sequences);
    ExcludeEachOther(leaf, {"--sequence-column", "--sequence-lengths"});
    leaf->add_option("--output", arguments.output, "CSV file to write, default the standard output")
        ->type_name("FILE");
    leaf->add_option("--outputs", arguments.outputs,
                     "What to compute: labels (default), posteriors, log-densities, imputed,\n"
                     "imputed-variances; of sequences also filtered, decoded,\n"
                     "sequence-log-likelihoods, path-log-probabilities, forecasts, residuals,\n"
                     "forecast-residuals, best-paths. Labels of sequences are most probable\n"
                     "paths, decoded states most probable row by row; residuals are normal\n"
                     "where the model is true, given all other rows or the rows before")
        ->type_name("NAMES");
    AddNumber<int64_t>(leaf, "--forecast-horizon", arguments.forecast_horizon,
                       "With --outputs forecasts: rows to look ahead from each row, default 1.\n"
                       "Rows of missing cells at the end of --data are forecast too: with\n"
                       "--outputs filtered,imputed,imputed-variances one row further each")
        ->group("Sequences");
    AddNumber<int32_t>(leaf, "--num-paths", arguments.num_paths,
                       "With --outputs best-paths: most probable paths of each sequence, default\n"
                       "1; -1 where a sequence has fewer")
        ->group("Sequences");
    leaf->add_option("--dataset", arguments.dataset,
                     "Predict a dataset on the server instead, as a job that makes a dataset")
        ->type_name("DATASET");
    leaf->add_option("--output-dataset", arguments.output_dataset, "Name of the dataset it makes")
        ->type_name("ID");
    leaf->add_flag("--detach", arguments.detach, "Print the job's name and do not wait for it");
    leaf->footer(
        "Example:\n  emctl predict geyser --data new.csv --output labels.csv "
        "--outputs labels,posteriors\n"
        "  emctl predict quakes --data quakes.csv --outputs forecasts --forecast-horizon 5");
  }

  void AddSample() {
    CLI::App* leaf = Leaf(&app_, "sample", "Draw rows from a model",
                          [](Session& session, const Command& command) {
                            return SampleModel(session, command.sample);
                          });
    SampleArguments& arguments = command_.sample;
    leaf->add_option("MODEL", arguments.model, "NAME, NAME@ALIAS or NAME/versions/N")->required();
    AddNumber<int64_t>(leaf, "-n,--rows", arguments.num_rows,
                       "Rows to draw, default 1; of a model of\n"
                       "sequences one sequence");
    AddNumber<uint64_t>(leaf, "--seed", arguments.seed, "Seed of the draw, default 0");
    leaf->add_option("--output", arguments.output, "CSV file to write, default the standard output")
        ->type_name("FILE");
    leaf->add_flag("--labels", arguments.labels,
                   "Add the component, or the state, of each row as last column");
    AddSpecOptions(leaf, kLengthsToDraw, "", /*is_sweep=*/false, arguments.sequences);
    leaf->add_option(
            "--sequence-column", arguments.sequence_column,
            "Add the number of each row's sequence, from 0, as first column of this name;\n"
            "not to a document of --json, which has sequence_lengths")
        ->type_name("NAME")
        ->group("Sequences");
  }

  void AddJobs() {
    CLI::App* jobs = Group("jobs", "job", "Fits, sweeps and batch predictions on the server");
    CLI::App* list =
        Leaf(jobs, "list", "List jobs, newest first", [](Session& session, const Command& command) {
          return ListJobs(session, command.limit, command.states);
        });
    WithLimit(list)
        ->add_option("--state", command_.states, "Only jobs in this state (repeatable)")
        ->type_name("STATE");
    WithName(Leaf(jobs, "get", "Show a job",
                  [](Session& session, const Command& command) {
                    return GetJob(session, command.name);
                  }),
             "JOB", "The job");
    WithName(Leaf(jobs, "watch", "Follow a job to its end; Ctrl-C leaves it running",
                  [](Session& session, const Command& command) {
                    return WatchJob(session, command.name);
                  }),
             "JOB", "The job");
    WithNames(Leaf(jobs, "cancel", "Stop jobs",
                   [](Session& session, const Command& command) {
                     return CancelJobs(session, command.names);
                   }),
              "JOBS", "The jobs");
    WithNames(Leaf(jobs, "delete", "Forget jobs that have ended; their models stay",
                   [](Session& session, const Command& command) {
                     return DeleteJobs(session, command.names);
                   }),
              "JOBS", "The jobs");
  }

  void AddModels() {
    CLI::App* models = Group("models", "model", "Fitted models, their versions and names");
    WithLimit(Leaf(models, "list", "List models", [](Session& session, const Command& command) {
      return ListModels(session, command.limit);
    }));
    WithName(Leaf(models, "get", "Show a model and its parameters",
                  [](Session& session, const Command& command) {
                    return GetModel(session, command.name);
                  }),
             "MODEL", "NAME, NAME@ALIAS or NAME/versions/N");
    WithLimit(WithName(Leaf(models, "versions", "List the versions of a model, newest first",
                            [](Session& session, const Command& command) {
                              return ListVersions(session, command.name, command.limit);
                            }),
                       "MODEL", "The model"));
    WithNames(Leaf(models, "delete", "Delete models, or versions: NAME/versions/N",
                   [](Session& session, const Command& command) {
                     return DeleteModels(session, command.names, command.flag);
                   }),
              "MODELS", "The models or versions")
        ->add_flag("--force", command_.flag, "Delete models although they have aliases");
    CLI::App* alias =
        WithName(Leaf(models, "alias", "Point an alias to a version",
                      [](Session& session, const Command& command) {
                        return AliasModel(session, command.name, command.second, command.flag);
                      }),
                 "MODEL", "NAME (its newest version), NAME@ALIAS or NAME/versions/N");
    alias->add_option("ALIAS", command_.second, "The alias")->required();
    alias->add_flag("--delete", command_.flag, "Remove the alias instead");
    CLI::App* tag =
        WithName(Leaf(models, "tag", "Set, remove and show tags",
                      [](Session& session, const Command& command) {
                        return TagModel(session, command.name, command.tags, command.removed_tags);
                      }),
                 "MODEL", "NAME, or NAME/versions/N for a version's own tags");
    tag->add_option("TAGS", command_.tags, "Tags to set")->type_name("KEY=VALUE");
    tag->add_option("--remove", command_.removed_tags, "Tag to remove (repeatable)")
        ->type_name("KEY")
        ->allow_extra_args(false);
    WithLimit(WithName(Leaf(models, "history", "What happened to a model, newest first",
                            [](Session& session, const Command& command) {
                              return ShowHistory(session, command.name, command.limit);
                            }),
                       "MODEL", "The model"));
    WithName(Leaf(models, "export", "Write a version to a portable file",
                  [](Session& session, const Command& command) {
                    return ExportModel(session, command.name, command.second);
                  }),
             "MODEL", "NAME, NAME@ALIAS or NAME/versions/N")
        ->add_option("FILE", command_.second, "File to write, - for the standard output")
        ->required();
    CLI::App* import = Leaf(models, "import", "Make a version from a portable file",
                            [](Session& session, const Command& command) {
                              return ImportModel(session, command.second, command.name);
                            });
    import->add_option("FILE", command_.second, "File to read, - for the standard input")
        ->required();
    import->add_option("--model", command_.name, "Model that gets the version")
        ->type_name("ID")
        ->required();
  }

  void AddDatasets() {
    CLI::App* datasets = Group("datasets", "dataset", "Data on the server");
    WithLimit(Leaf(datasets, "list", "List datasets", [](Session& session, const Command& command) {
      return ListDatasets(session, command.limit);
    }));
    WithName(Leaf(datasets, "get", "Show a dataset and figures of its columns",
                  [](Session& session, const Command& command) {
                    return GetDataset(session, command.name);
                  }),
             "DATASET", "The dataset");
    CLI::App* upload =
        Leaf(datasets, "upload", "Upload a file", [](Session& session, const Command& command) {
          return UploadDataset(session, command.upload);
        });
    UploadArguments& arguments = command_.upload;
    upload->add_option("FILE", arguments.file, kDataHelp)->required();
    upload->add_option("--id", arguments.id, "Name, default chosen by the server")->type_name("ID");
    upload->add_option("--columns", arguments.columns, "Columns to upload: a,b,...")
        ->type_name("NAMES");
    upload
        ->add_option("--categories", arguments.categories,
                     "Columns of categories, whose cells may be text: a,b,..., or all")
        ->type_name("NAMES");
    upload->add_option("--description", arguments.description, "Text for people")
        ->type_name("TEXT");
    AddReading(upload, arguments.reading, "Data");
    WithName(Leaf(datasets, "download", "Write a dataset as CSV",
                  [](Session& session, const Command& command) {
                    return DownloadDataset(session, command.name, command.second);
                  }),
             "DATASET", "The dataset")
        ->add_option("--output", command_.second, "CSV file to write, default the standard output")
        ->type_name("FILE");
    WithNames(Leaf(datasets, "delete", "Delete datasets; running jobs keep what they use",
                   [](Session& session, const Command& command) {
                     return DeleteDatasets(session, command.names);
                   }),
              "DATASETS", "The datasets");
  }

  CLI::App app_;
  std::vector<CLI::App*> leaves_;
  Command& command_;
};

// One line on what is wrong, and where the help that helps is.
std::string UsageError(const CLI::App& root, const CLI::ParseError& error) {
  const CLI::App* app = &root;  // the deepest command that was reached
  std::string name = "emctl";
  while (!app->get_subcommands().empty()) {
    app = app->get_subcommands().back();
    absl::StrAppend(&name, " ", app->get_name());
  }
  std::string what = error.what();
  std::vector<std::string> commands;
  for (const CLI::App* command : app->get_subcommands([](const CLI::App*) { return true; })) {
    commands.push_back(command->get_name());
  }
  if (!commands.empty()) {
    const std::vector<std::string> rest = app->remaining();
    what = absl::StrCat("got ", rest.empty() ? "no command" : rest.front(), ", must be ",
                        absl::StrJoin(commands, ", "));
  }
  return absl::StrCat(Printable(what), "; see ", name, " --help");
}

}  // namespace

Invocation ParseArguments(int argc, const char* const* argv) {
  const auto command = std::make_shared<Command>();
  if (const char* server = std::getenv("EMSERVE_SERVER"); server != nullptr && *server != '\0') {
    command->invocation.common.connect.address = server;
  }
  const auto line = std::make_shared<CommandLine>(*command);
  try {
    line->app().parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    Invocation invocation;
    if (error.get_exit_code() == 0) {
      line->app().exit(error);
      return invocation;
    }
    // The flag may stand behind what could not be parsed.
    const bool json = std::find(argv, argv + argc, std::string_view("--json")) != argv + argc;
    ReportError(absl::InvalidArgumentError(UsageError(line->app(), error)), json);
    invocation.exit_status = kExitUsage;
    return invocation;
  }
  Invocation invocation{.common = command->invocation.common, .run = nullptr, .exit_status = 0};
  // What was parsed lives as long as the command that reads it.
  invocation.run = [command, line](Session& session) { return command->invocation.run(session); };
  return invocation;
}

}  // namespace emserve::emctl
