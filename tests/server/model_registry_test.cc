#include "server/registry/model_registry.h"

#include <atomic>
#include <latch>
#include <limits>
#include <thread>

#include "server/errors.h"
#include "tests/server/domain_test.h"
#include "tests/server/work_test.h"

namespace emserve::server {
namespace {

using absl::StatusCode;

ModelVersion MakeVersion() {
  ModelVersion version = TwoClusterVersion();
  version.spec = "spec";
  version.job = "job-1";
  return version;
}

class ModelRegistryTest : public testing::Test {
 protected:
  ModelRegistryTest() { Restart({}); }

  void Restart(ModelRegistryOptions options) {
    options.clock = clock_.get();
    registry_ = std::make_unique<ModelRegistry>(std::move(options));
  }
  int64_t Add(const std::string& model) {
    const auto added = registry_->Add(model, MakeVersion());
    EXPECT_THAT(added, IsOk());
    return added.ok() ? added->version->number : -1;
  }
  absl::StatusOr<int64_t> Resolve(const std::string& name) {
    const auto found = registry_->Resolve("model", name);
    if (!found.ok()) return found.status();
    return found->version->number;
  }
  std::vector<std::string> Actions(const std::string& model) {
    std::vector<std::string> actions;
    const auto page = registry_->ListAudit(model, {1000, ""});
    for (const auto& entry : page->items) {
      actions.push_back(entry->action + " " + entry->subject + " " + entry->old_value + ">" +
                        entry->new_value);
    }
    return actions;
  }

  FakeClock clock_;
  std::unique_ptr<ModelRegistry> registry_;
};

TEST_F(ModelRegistryTest, NumbersVersionsFromOneAndResolvesEveryForm) {
  EXPECT_EQ(Add("m"), 1);
  EXPECT_EQ(Add("m"), 2);
  EXPECT_EQ(Add("m"), 3);
  EXPECT_EQ(Add("other"), 1);
  ASSERT_THAT(registry_->SetAlias("models/m/versions/2", "best"), IsOk());
  EXPECT_EQ(*Resolve("models/m"), 3);
  EXPECT_EQ(*Resolve("models/m/versions/1"), 1);
  EXPECT_EQ(*Resolve("models/m@best"), 2);
  EXPECT_THAT(Resolve("models/m/versions/4"), FailsWith(StatusCode::kNotFound, "versions/4"));
  EXPECT_THAT(Resolve("models/m@nope"), FailsWith(StatusCode::kNotFound, "models/m@nope"));
  EXPECT_THAT(Resolve("models/nope"), FailsWith(StatusCode::kNotFound, "models/nope"));
  EXPECT_THAT(Resolve("nope"), FailsWith(StatusCode::kInvalidArgument, "model: got"));
  EXPECT_EQ(registry_->Resolve("model", "models/m")->version->name(), "models/m/versions/3");
}

TEST_F(ModelRegistryTest, NeverReusesANumber) {
  Add("m");
  Add("m");
  ASSERT_THAT(registry_->DeleteVersion("models/m/versions/2"), IsOk());
  EXPECT_EQ(Add("m"), 3);
  EXPECT_EQ(*Resolve("models/m"), 3);
  ASSERT_THAT(registry_->DeleteModel("m", false), IsOk());
  EXPECT_THAT(Resolve("models/m"), FailsWith(StatusCode::kNotFound, ""));
  EXPECT_EQ(Add("m"), 4);
}

TEST_F(ModelRegistryTest, TheLastVersionTakesTheModelWithIt) {
  Add("m");
  ASSERT_THAT(registry_->DeleteVersion("models/m/versions/1"), IsOk());
  EXPECT_THAT(registry_->Get("m"), FailsWith(StatusCode::kNotFound, "models/m"));
  EXPECT_EQ(Add("m"), 2);
}

TEST_F(ModelRegistryTest, DeletesVersionsByNumberOnly) {
  Add("m");
  EXPECT_THAT(registry_->DeleteVersion("models/m"),
              FailsWith(StatusCode::kInvalidArgument, "name: got"));
  EXPECT_THAT(registry_->DeleteVersion("models/m/versions/9"),
              FailsWith(StatusCode::kNotFound, ""));
}

TEST_F(ModelRegistryTest, AliasesProtectWhatTheyPointTo) {
  Add("m");
  Add("m");
  ASSERT_THAT(registry_->SetAlias("models/m/versions/1", "prod"), IsOk());
  const absl::Status version = registry_->DeleteVersion("models/m/versions/1");
  EXPECT_THAT(version, FailsWith(StatusCode::kFailedPrecondition, "prod"));
  EXPECT_EQ(ReasonOf(version), "VERSION_HAS_ALIASES");
  const absl::Status model = registry_->DeleteModel("m", false);
  EXPECT_EQ(ReasonOf(model), "MODEL_HAS_ALIASES");
  ASSERT_THAT(registry_->DeleteAlias("m", "prod"), IsOk());
  EXPECT_THAT(registry_->DeleteVersion("models/m/versions/1"), IsOk());
  ASSERT_THAT(registry_->SetAlias("models/m", "prod"), IsOk());
  EXPECT_THAT(registry_->DeleteModel("m", true), IsOk());
  EXPECT_THAT(registry_->DeleteModel("m", true), FailsWith(StatusCode::kNotFound, ""));
}

TEST_F(ModelRegistryTest, MovesAliasesAndKeepsAnAudit) {
  Add("m");
  clock_.Advance(absl::Seconds(1));
  Add("m");
  ASSERT_THAT(registry_->SetAlias("models/m/versions/1", "prod"), IsOk());
  clock_.Advance(absl::Seconds(1));
  const auto line = registry_->SetAlias("models/m", "prod");
  ASSERT_THAT(line, IsOk());
  EXPECT_EQ((*line)->aliases.at("prod"), 2);
  EXPECT_EQ((*line)->update_time, clock_.Now());
  EXPECT_THAT((*line)->AliasesOf(2), testing::ElementsAre("prod"));
  EXPECT_TRUE((*line)->AliasesOf(1).empty());
  ASSERT_THAT(registry_->SetAlias("models/m@prod", "prod"), IsOk());  // no move, no line
  ASSERT_THAT(registry_->DeleteAlias("m", "prod"), IsOk());
  EXPECT_THAT(Actions("m"), testing::ElementsAre("ALIAS_DELETED prod 2>", "ALIAS_SET prod 1>2",
                                                 "ALIAS_SET prod >1", "VERSION_CREATED 2 >job-1",
                                                 "VERSION_CREATED 1 >job-1"));
  EXPECT_THAT(registry_->DeleteAlias("m", "prod"), FailsWith(StatusCode::kNotFound, "m@prod"));
  EXPECT_THAT(registry_->DeleteAlias("nope", "prod"), FailsWith(StatusCode::kNotFound, "nope"));
  EXPECT_THAT(registry_->SetAlias("models/m", "1"),
              FailsWith(StatusCode::kInvalidArgument, "alias: "));
  EXPECT_THAT(registry_->SetAlias("models/m/versions/7", "x"),
              FailsWith(StatusCode::kNotFound, ""));
}

TEST_F(ModelRegistryTest, BoundsTheAliasesOfAModel) {
  Add("m");
  for (int i = 0; i < 1000; ++i) {
    ASSERT_THAT(registry_->SetAlias("models/m", "a" + std::to_string(i)), IsOk());
  }
  EXPECT_THAT(registry_->SetAlias("models/m", "b"), FailsWith(StatusCode::kResourceExhausted, ""));
}

TEST_F(ModelRegistryTest, KeepsTheNewestThousandAuditEntriesAndPagesThem) {
  Add("m");
  Add("m");
  for (int i = 0; i < 1100; ++i) {
    const std::string version = i % 2 == 0 ? "models/m/versions/1" : "models/m/versions/2";
    ASSERT_THAT(registry_->SetAlias(version, "prod"), IsOk());
  }
  const auto first = registry_->ListAudit("m", {600, ""});
  ASSERT_EQ(first->items.size(), 600u);
  EXPECT_EQ(first->items[0]->new_value, "2");
  // An entry that comes between two pages neither shifts nor repeats any.
  ASSERT_THAT(registry_->SetAlias("models/m/versions/1", "prod"), IsOk());
  const auto second = registry_->ListAudit("m", {600, first->next_page_token});
  EXPECT_EQ(second->items.size(), 399u);
  EXPECT_EQ(second->items[0]->new_value, "2");
  EXPECT_TRUE(second->next_page_token.empty());
}

TEST_F(ModelRegistryTest, UpdatesTagsOfModelsAndVersions) {
  Add("m");
  Add("m");
  EXPECT_EQ(*registry_->UpdateTags("models/m", {{"a", "1"}, {"b", "2"}}, {}),
            (Tags{{"a", "1"}, {"b", "2"}}));
  EXPECT_EQ(*registry_->UpdateTags("models/m", {{"a", "3"}}, {"b", "nope"}), (Tags{{"a", "3"}}));
  EXPECT_EQ(*registry_->UpdateTags("models/m/versions/1", {{"v", "x"}}, {}), (Tags{{"v", "x"}}));
  const auto line = *registry_->Get("m");
  EXPECT_EQ(line->tags, (Tags{{"a", "3"}}));
  EXPECT_EQ(line->TagsOf(1), (Tags{{"v", "x"}}));
  EXPECT_TRUE(line->TagsOf(2).empty());
  EXPECT_TRUE(registry_->UpdateTags("models/m/versions/1", {}, {"v"})->empty());
  EXPECT_TRUE((*registry_->Get("m"))->version_tags.empty());
  EXPECT_EQ(Actions("m")[0], "TAGS_UPDATED 1:v x>");
  EXPECT_EQ(Actions("m")[2], "TAGS_UPDATED a 1>3");
}

TEST_F(ModelRegistryTest, RefusesBadTagsAndKeepsTheOldOnes) {
  Add("m");
  ASSERT_THAT(registry_->UpdateTags("models/m", {{"a", "1"}}, {}), IsOk());
  const auto refused = [&](const Tags& set, const std::vector<std::string>& remove) {
    EXPECT_THAT(registry_->UpdateTags("models/m", set, remove),
                FailsWith(StatusCode::kInvalidArgument, "set"));
  };
  refused({{"", "x"}}, {});
  refused({{std::string(64, 'k'), "x"}}, {});
  refused({{"k", std::string(1025, 'x')}}, {});
  refused({{"k", "x"}}, {"k"});
  Tags many;
  for (int i = 0; i < 64; ++i) many["k" + std::to_string(i)] = "";
  refused(many, {});  // with "a" one too many
  EXPECT_EQ((*registry_->Get("m"))->tags, (Tags{{"a", "1"}}));
  EXPECT_THAT(registry_->UpdateTags("models/m", many, {"a"}), IsOk());
}

TEST_F(ModelRegistryTest, ListsModelsByNameInPages) {
  for (const char* id : {"c", "a", "e", "b", "d"}) Add(id);
  std::string seen;
  PageRequest request{2, ""};
  do {
    const auto page = registry_->List(request);
    ASSERT_THAT(page, IsOk());
    for (const auto& line : page->items) seen += line->id;
    request.page_token = page->next_page_token;
    if (seen == "ab") {
      ASSERT_THAT(registry_->DeleteModel("b", false), IsOk());
    }
  } while (!request.page_token.empty());
  EXPECT_EQ(seen, "abcde");
}

TEST_F(ModelRegistryTest, ListsVersionsNewestFirstInPages) {
  for (int i = 0; i < 5; ++i) Add("m");
  ASSERT_THAT(registry_->DeleteVersion("models/m/versions/3"), IsOk());
  std::vector<int64_t> seen;
  PageRequest request{2, ""};
  do {
    const auto page = registry_->ListVersions("m", request);
    ASSERT_THAT(page, IsOk());
    for (const ResolvedVersion& item : page->items) seen.push_back(item.version->number);
    request.page_token = page->next_page_token;
  } while (!request.page_token.empty());
  EXPECT_THAT(seen, testing::ElementsAre(5, 4, 2, 1));
  EXPECT_THAT(registry_->ListVersions("nope", {}), FailsWith(StatusCode::kNotFound, ""));
  EXPECT_THAT(registry_->ListVersions("m", {0, EncodePageToken("models/m/versions", "x")}),
              FailsWith(StatusCode::kInvalidArgument, "page_token"));
}

TEST_F(ModelRegistryTest, BoundsModelsVersionsAndMemory) {
  ModelRegistryOptions options;
  options.max_models = 2;
  options.max_versions_per_model = 2;
  Restart(options);
  Add("a");
  Add("b");
  EXPECT_EQ(ReasonOf(registry_->Add("c", MakeVersion()).status()), "TOO_MANY_MODELS");
  EXPECT_EQ(ReasonOf(registry_->CheckRoom("c", 8)), "TOO_MANY_MODELS");
  Add("a");
  EXPECT_EQ(ReasonOf(registry_->Add("a", MakeVersion()).status()), "TOO_MANY_MODEL_VERSIONS");
  options.max_bytes = 20000;
  options.max_versions_per_model = 1000;
  Restart(options);
  int64_t added = 0;
  while (registry_->Add("a", MakeVersion()).ok()) ++added;
  EXPECT_GE(added, 2);
  EXPECT_EQ(ReasonOf(registry_->Add("a", MakeVersion()).status()), "MODEL_MEMORY_FULL");
  EXPECT_EQ(ReasonOf(registry_->CheckRoom("b", std::numeric_limits<int64_t>::max())),
            "MODEL_MEMORY_FULL");
  // Deleting gives exactly the room back.
  ASSERT_THAT(registry_->DeleteModel("a", false), IsOk());
  for (int64_t i = 0; i < added; ++i) Add("a");
  for (int64_t i = 1; i < added; ++i) {
    const int64_t number = added + i;
    ASSERT_THAT(registry_->DeleteVersion("models/a/versions/" + std::to_string(number + 1)), IsOk())
        << number;
  }
  for (int64_t i = 1; i < added; ++i) Add("a");
  EXPECT_EQ(ReasonOf(registry_->Add("a", MakeVersion()).status()), "MODEL_MEMORY_FULL");
}

TEST_F(ModelRegistryTest, RefusesABadId) {
  EXPECT_THAT(registry_->Add("Bad/id", MakeVersion()),
              FailsWith(StatusCode::kInvalidArgument, "model_id: "));
}

TEST_F(ModelRegistryTest, AReaderKeepsAVersionThatIsDeleted) {
  Add("m");
  const ResolvedVersion kept = *registry_->Resolve("model", "models/m");
  ASSERT_THAT(registry_->DeleteModel("m", false), IsOk());
  EXPECT_EQ(kept.version->theta.size(), 8u);
  const auto table = *Table::FromValues({0, 0}, 1, 2);
  EXPECT_EQ(kept.version->predictor->Predict(table, {.labels = true})->labels[0], 0);
}

// Readers never see half of a change: an alias and the versions it may point to move together.
TEST_F(ModelRegistryTest, RacingReadersSeeEachChangeWhole) {
  Add("m");
  Add("m");
  ASSERT_THAT(registry_->SetAlias("models/m", "prod"), IsOk());
  std::atomic<bool> done = false;
  std::latch start(5);
  std::vector<std::jthread> threads;
  for (int r = 0; r < 3; ++r) {
    threads.emplace_back([&] {
      start.arrive_and_wait();
      int64_t newest = 0;
      while (!done) {
        const auto found = registry_->Resolve("model", "models/m@prod");
        ASSERT_THAT(found, IsOk());
        ASSERT_EQ(found->line->aliases.at("prod"), found->version->number);
        const auto line = registry_->Get("m");
        ASSERT_THAT(line, IsOk());
        ASSERT_GE((*line)->last_number, newest);
        newest = (*line)->last_number;
      }
    });
  }
  for (int w = 0; w < 2; ++w) {
    threads.emplace_back([&, w] {
      start.arrive_and_wait();
      std::string before;  // this writer's version before; the other's alias may protect it
      for (int i = 0; i < 100; ++i) {
        const auto added = registry_->Add("m", MakeVersion());
        ASSERT_THAT(added, IsOk());
        ASSERT_THAT(registry_->SetAlias(added->version->name(), "prod"), IsOk());
        if (!before.empty()) (void)registry_->DeleteVersion(before);
        before = added->version->name();
        (void)registry_->UpdateTags("models/m", {{"w" + std::to_string(w), std::to_string(i)}}, {});
      }
    });
  }
  threads[3].join();
  threads[4].join();
  done = true;
  threads.clear();
  EXPECT_EQ((*registry_->Get("m"))->last_number, 202);
}

}  // namespace
}  // namespace emserve::server
