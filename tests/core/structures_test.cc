#include "core/distribution/structures.h"

#include <gtest/gtest.h>

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <Eigen/Eigenvalues>
#include <Eigen/LU>
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "core/distribution/spectra.h"
#include "core/runtime/random.h"

namespace emserve {
namespace {

using Eigen::ArrayXd;
using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using Solver = Eigen::SelfAdjointEigenSolver<MatrixXd>;
using Matrices = std::vector<MatrixXd>;

constexpr Structure kAll[] = {Structure::kVEI, Structure::kEVI, Structure::kVEE, Structure::kEVE,
                              Structure::kVVE, Structure::kEEV, Structure::kVEV, Structure::kEVV};

char Letter(Structure structure, int i) { return StructureName(structure)[i]; }

MatrixXd RandomMatrix(int rows, int cols, Random& random) {
  MatrixXd m(rows, cols);
  for (Index i = 0; i < m.size(); ++i) m.data()[i] = random.Normal();
  return m;
}

// exp of a random skew-symmetric matrix of the given size, by Cayley's formula.
MatrixXd RandomRotation(int dims, double size, Random& random) {
  const MatrixXd m = size * RandomMatrix(dims, dims, random);
  const MatrixXd skew = 0.25 * (m - m.transpose());
  const MatrixXd one = MatrixXd::Identity(dims, dims);
  return (one + skew) * (one - skew).inverse();
}

// Sums of squares of `rows` draws that have correlations and scales of their own.
Matrices RandomScatter(int num_components, int dims, int rows, Random& random) {
  Matrices scatter;
  for (int k = 0; k < num_components; ++k) {
    const MatrixXd mix = RandomMatrix(dims, dims, random) * std::exp(random.Normal());
    const MatrixXd draws = mix * RandomMatrix(dims, rows, random);
    scatter.emplace_back(draws * draws.transpose());
  }
  return scatter;
}

ArrayXd RandomExponents(int num_components, Random& random) {
  ArrayXd exponents(num_components);
  for (double& e : exponents) e = 20 * std::exp(random.Normal());
  return exponents;
}

struct Parameters {
  ArrayXd log_volume;          // [K] log lambda_k
  std::vector<ArrayXd> shape;  // [K][D] log a_kd
  Matrices axes;               // [K]
};

MatrixXd Compose(const Parameters& p, size_t k) {
  const VectorXd variances = (p.log_volume(Index(k)) + p.shape[k]).exp();
  const MatrixXd m = p.axes[k] * variances.asDiagonal() * p.axes[k].transpose();
  return 0.5 * (m + m.transpose());
}
Matrices Compose(const Parameters& p) {
  Matrices covariances;
  for (size_t k = 0; k < p.shape.size(); ++k) covariances.push_back(Compose(p, k));
  return covariances;
}

// Moves volumes, shapes and axes at random, together where `structure` shares them.
Parameters Moved(Structure structure, Parameters p, double size, Random& random) {
  const auto num_components = p.shape.size();
  const auto dims = static_cast<int>(p.shape[0].size());
  ArrayXd shape_move;
  double volume_move = 0;
  MatrixXd rotation;
  for (size_t k = 0; k < num_components; ++k) {
    if (k == 0 || Letter(structure, 0) == 'V') volume_move = size * random.Normal();
    if (k == 0 || Letter(structure, 1) == 'V') {
      shape_move = size * RandomMatrix(dims, 1, random).array();
      shape_move -= shape_move.mean();
    }
    if (k == 0 || Letter(structure, 2) == 'V') rotation = RandomRotation(dims, size, random);
    p.log_volume(Index(k)) += volume_move;
    p.shape[k] += shape_move;
    if (!IsDiagonal(structure)) p.axes[k] = (p.axes[k] * rotation).eval();
  }
  return p;
}

Parameters RandomParameters(Structure structure, int num_components, int dims, Random& random) {
  Parameters p;
  p.log_volume = ArrayXd::Zero(num_components);
  ArrayXd shape = ArrayXd::LinSpaced(dims, -0.1, 0.1);
  shape -= shape.mean();
  p.shape.assign(num_components, shape);
  p.axes.assign(num_components, MatrixXd::Identity(dims, dims));
  return Moved(structure, p, 1.0, random);
}

// Parameters of covariances that belong to the structure; what is shared comes from one of them.
Parameters Decompose(Structure structure, const Matrices& covariances) {
  const auto dims = covariances[0].rows();
  MatrixXd mixed = MatrixXd::Zero(dims, dims);
  for (size_t k = 0; k < covariances.size(); ++k) {
    mixed += (1 + std::fmod(0.618 * static_cast<double>(k), 1.0)) * covariances[k] /
             covariances[k].trace();
  }
  const MatrixXd common = Solver(mixed).eigenvectors();
  Parameters p;
  p.log_volume.resize(Index(covariances.size()));
  for (size_t k = 0; k < covariances.size(); ++k) {
    MatrixXd axes = MatrixXd::Identity(dims, dims);
    if (Letter(structure, 2) == 'E') axes = common;
    if (Letter(structure, 2) == 'V') axes = Solver(covariances[k]).eigenvectors();
    ArrayXd logs = (axes.transpose() * covariances[k] * axes).diagonal().array().log();
    p.log_volume(Index(k)) = Letter(structure, 0) == 'E' && k > 0 ? p.log_volume(0) : logs.mean();
    p.shape.emplace_back(Letter(structure, 1) == 'E' && k > 0 ? p.shape[0] : logs - logs.mean());
    p.axes.push_back(axes);
  }
  return p;
}

double Objective(const ArrayXd& exponents, const Matrices& scatter, const Matrices& covariances) {
  double sum = 0;
  for (size_t k = 0; k < scatter.size(); ++k) {
    if (!(exponents(Index(k)) > 0)) continue;
    const Eigen::LLT<MatrixXd> llt(covariances[k]);
    EXPECT_EQ(llt.info(), Eigen::Success);
    sum -= exponents(Index(k)) * llt.matrixLLT().diagonal().array().log().sum() +
           0.5 * llt.solve(scatter[k]).trace();
  }
  return sum;
}

std::vector<double> Flat(Structure structure, const Matrices& matrices) {
  std::vector<double> flat;
  for (const MatrixXd& m : matrices) {
    for (Index a = 0; a < m.rows(); ++a) {
      for (Index b = 0; b < m.cols(); ++b) {
        if (IsDiagonal(structure) && a != b) continue;
        flat.push_back(m(a, b));
      }
    }
  }
  return flat;
}

struct Maximum {
  Matrices covariances;
  double raised = 0;
  double loss = 0;
};

Maximum Maximize(Structure structure, const ArrayXd& exponents, const Matrices& scatter,
                 const Matrices& current, double floor = 0) {
  const auto dims = scatter[0].rows();
  const std::vector<double> e(exponents.begin(), exponents.end());
  std::vector<double> w = Flat(structure, scatter);
  if (!IsDiagonal(structure)) {  // only lower triangles are read
    for (size_t i = 0; i < w.size(); ++i) {
      const auto at = Index(i) % (dims * dims);
      if (at % dims > at / dims) w[i] = 12345;
    }
  }
  const std::vector<double> now = Flat(structure, current);
  std::vector<double> next(w.size(), std::numeric_limits<double>::quiet_NaN());
  const auto result = MaximizeStructure(structure,
                                        {.num_components = static_cast<int>(scatter.size()),
                                         .num_columns = static_cast<int>(dims),
                                         .exponents = e,
                                         .scatter = w,
                                         .current = now,
                                         .floor = floor,
                                         .stop = {}},
                                        next);
  EXPECT_TRUE(result.ok()) << result.status();
  if (!result.ok()) return {.covariances = current};
  Maximum maximum{.covariances = {}, .raised = result->raised, .loss = result->loss};
  for (size_t k = 0; k < scatter.size(); ++k) {
    MatrixXd m = MatrixXd::Zero(dims, dims);
    for (Index a = 0; a < dims; ++a) {
      for (Index b = 0; b < dims; ++b) {
        if (!IsDiagonal(structure)) m(a, b) = next[(k * dims + a) * dims + b];
      }
      if (IsDiagonal(structure)) m(a, a) = next[k * dims + a];
    }
    EXPECT_TRUE(m.allFinite());
    EXPECT_EQ(m, m.transpose());
    maximum.covariances.push_back(m);
  }
  return maximum;
}

Matrices Identities(int num_components, int dims) {
  return Matrices(num_components, MatrixXd::Identity(dims, dims));
}

void ExpectNear(const Matrices& actual, const Matrices& expected, double tolerance) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t k = 0; k < actual.size(); ++k) {
    EXPECT_LE((actual[k] - expected[k]).norm(), tolerance * expected[k].norm())
        << "component " << k << "\n"
        << actual[k] << "\nexpected\n"
        << expected[k];
  }
}

double Smallest(const Matrices& covariances) {
  double smallest = std::numeric_limits<double>::infinity();
  for (const MatrixXd& m : covariances) {
    smallest = std::min(smallest, Solver(m).eigenvalues().minCoeff());
  }
  return smallest;
}

class StructuresTest : public ::testing::TestWithParam<Structure> {};
INSTANTIATE_TEST_SUITE_P(All, StructuresTest, ::testing::ValuesIn(kAll),
                         [](const auto& test) { return std::string(StructureName(test.param)); });

TEST_P(StructuresTest, IsStationaryAndBeatsItsNeighbours) {
  const Structure structure = GetParam();
  for (int draw = 0; draw < 12; ++draw) {
    Random random(7, draw);
    const int num_components = 1 + draw % 5;
    const int dims = 1 + (draw * 5) % 6;
    const ArrayXd e = RandomExponents(num_components, random);
    const Matrices w = RandomScatter(num_components, dims, 20, random);
    const Matrices start = Compose(RandomParameters(structure, num_components, dims, random));
    const Maximum maximum = Maximize(structure, e, w, start);
    EXPECT_EQ(maximum.raised, 0);
    EXPECT_EQ(maximum.loss, 0);
    const Parameters at = Decompose(structure, maximum.covariances);
    ExpectNear(Compose(at), maximum.covariances, 1e-9);
    const double value = Objective(e, w, maximum.covariances);
    const double unit = e.sum() * dims + std::abs(value);
    EXPECT_GE(value, Objective(e, w, start) - 1e-12 * unit);
    for (int i = 0; i < 60; ++i) {
      const double size = std::pow(10, -1 - i % 4);
      const Matrices near = Compose(Moved(structure, at, size, random));
      EXPECT_LE(Objective(e, w, near), value + 1e-12 * unit) << "size " << size;
    }
    // Along random lines, the same draws forwards and backwards, the top is here.
    for (int i = 0; i < 10; ++i) {
      const double h = 1e-5;
      Random forwards(11, i), backwards(11, i);
      const double ahead = Objective(e, w, Compose(Moved(structure, at, h, forwards)));
      const double behind = Objective(e, w, Compose(Moved(structure, at, -h, backwards)));
      const double slope = (ahead - behind) / (2 * h);
      const double curvature = (2 * value - ahead - behind) / (h * h);
      EXPECT_LE(std::abs(slope), 1e-7 * curvature + 1e-9 * unit);
    }
  }
}

TEST_P(StructuresTest, GivesBackScatterThatHasTheStructure) {
  const Structure structure = GetParam();
  for (int draw = 0; draw < 8; ++draw) {
    Random random(17, draw);
    const int num_components = 1 + draw % 4;
    const int dims = 1 + (draw * 3) % 5;
    const ArrayXd e = RandomExponents(num_components, random);
    const Matrices truth = Compose(RandomParameters(structure, num_components, dims, random));
    Matrices w = truth;
    for (int k = 0; k < num_components; ++k) w[k] *= e(k);
    ExpectNear(Maximize(structure, e, w, Identities(num_components, dims)).covariances, truth,
               1e-9);
  }
}

TEST_P(StructuresTest, IsTheMeanScatterOfASingleComponent) {
  Random random(3, 0);
  const Matrices w = RandomScatter(1, 4, 9, random);
  MatrixXd expected = w[0] / 7.0;
  if (IsDiagonal(GetParam())) expected = MatrixXd(expected.diagonal().asDiagonal());
  ExpectNear(Maximize(GetParam(), ArrayXd::Constant(1, 7), w, Identities(1, 4)).covariances,
             {expected}, 1e-12);
}

TEST_P(StructuresTest, DoesNotDependOnUnitsOfScatterOrExponents) {
  const Structure structure = GetParam();
  Random random(23, 0);
  const ArrayXd e = RandomExponents(3, random);
  const Matrices w = RandomScatter(3, 4, 12, random);
  const Matrices start = Compose(RandomParameters(structure, 3, 4, random));
  const Matrices expected = Maximize(structure, e, w, start).covariances;
  for (const double unit : {1e-16, 1e16, 1e-40, 1e60}) {
    Matrices scaled = w, now = start, back;
    for (MatrixXd& m : scaled) m *= unit;
    for (MatrixXd& m : now) m *= unit;
    for (const MatrixXd& m : Maximize(structure, e, scaled, now).covariances) {
      back.emplace_back(m / unit);
    }
    ExpectNear(back, expected, 1e-8);
    back.clear();
    for (const MatrixXd& m : Maximize(structure, e * unit, w, start).covariances) {
      back.emplace_back(m * unit);
    }
    ExpectNear(back, expected, 1e-8);
  }
}

TEST_P(StructuresTest, SurvivesComponentsWithoutEnoughScatter) {
  const Structure structure = GetParam();
  for (const int rows : {0, 1, 2, 5}) {
    for (const double floor : {0.0, 1e-6}) {
      for (const double tiny : {1.0, 1e-12}) {
        Random random(31, rows);
        Matrices w = RandomScatter(3, 5, 30, random);
        w[1] = RandomScatter(1, 5, rows, random)[0] * tiny;
        ArrayXd e = RandomExponents(3, random);
        e(1) *= tiny;
        const Matrices start = Compose(RandomParameters(structure, 3, 5, random));
        const Maximum maximum = Maximize(structure, e, w, start, floor);
        if (floor > 0) {
          EXPECT_GE(Smallest(maximum.covariances), floor * (1 - 1e-9) - 1e-9 * floor);
          EXPECT_TRUE(std::isfinite(maximum.loss));
          EXPECT_GE(maximum.loss, 0);
          const double value = Objective(e, w, maximum.covariances);
          const double before = Objective(e, w, start);
          EXPECT_GE(value, before - maximum.loss - 1e-9 * std::abs(before));
        }
        // All of them.
        const Matrices bad(3, w[1]);
        const Maximum worst = Maximize(structure, e, bad, start, floor);
        if (floor > 0) {
          EXPECT_GE(Smallest(worst.covariances), floor * (1 - 1e-4));
        }
      }
    }
  }
}

TEST_P(StructuresTest, IgnoresScatterOfAnEmptyComponentAndKeepsWhatIsItsOwn) {
  const Structure structure = GetParam();
  for (int draw = 0; draw < 5; ++draw) {
    Random random(41, draw);
    ArrayXd e = RandomExponents(3, random);
    const Matrices w = RandomScatter(3, 4, 12, random);
    const Matrices start = Compose(RandomParameters(structure, 3, 4, random));
    Matrices others = w, others_start = start;
    others.erase(others.begin() + 1);
    others_start.erase(others_start.begin() + 1);
    ArrayXd others_e(2);
    others_e << e(0), e(2);
    e(1) = 0;
    const Matrices next = Maximize(structure, e, w, start).covariances;
    const Matrices expected = Maximize(structure, others_e, others, others_start).covariances;
    const double value = Objective(others_e, others, {next[0], next[2]});
    EXPECT_NEAR(value, Objective(others_e, others, expected), 0.02 * std::abs(value));
    if (Letter(structure, 2) != 'E' || Letter(structure, 1) == 'E') {
      ExpectNear({next[0], next[2]}, expected, 1e-9);
    }
    ExpectNear(Compose(Decompose(structure, next)), next, 1e-9);
    ArrayXd own = Solver(start[1]).eigenvalues().array().log();
    ArrayXd kept = Solver(next[1]).eigenvalues().array().log();
    if (Letter(structure, 0) == 'V') {
      EXPECT_NEAR(kept.mean(), own.mean(), 1e-10);
    }
    if (Letter(structure, 1) == 'V') {
      EXPECT_LE(((kept - kept.mean()) - (own - own.mean())).abs().maxCoeff(), 1e-10);
    }
    if (Letter(structure, 2) == 'V') {
      EXPECT_LE((next[1] * start[1] - start[1] * next[1]).norm(),
                1e-9 * next[1].norm() * start[1].norm());
    }
  }
}

TEST_P(StructuresTest, KeepsEverythingWhenAllComponentsAreEmpty) {
  Random random(43, 0);
  const Matrices start = Compose(RandomParameters(GetParam(), 2, 3, random));
  const Matrices w = RandomScatter(2, 3, 9, random);
  ExpectNear(Maximize(GetParam(), ArrayXd::Zero(2), w, start).covariances, start, 0);
}

TEST_P(StructuresTest, ReportsWhatTheFloorRaisedAndCost) {
  const Structure structure = GetParam();
  Random random(47, 0);
  const ArrayXd e = RandomExponents(3, random);
  const Matrices w = RandomScatter(3, 4, 12, random);
  const Matrices start = Compose(RandomParameters(structure, 3, 4, random));
  const Matrices free = Maximize(structure, e, w, start).covariances;
  const double smallest = Smallest(free);
  ExpectNear(Maximize(structure, e, w, start, 0.999 * smallest).covariances, free, 1e-9);
  const double floor = 1.5 * smallest;
  const Maximum maximum = Maximize(structure, e, w, start, floor);
  EXPECT_GE(Smallest(maximum.covariances), floor * (1 - 1e-12));
  EXPECT_NEAR(maximum.raised, floor - smallest, 0.05 * floor);
  EXPECT_GT(maximum.loss, 0);
  EXPECT_NEAR(Objective(e, w, maximum.covariances), Objective(e, w, free) - maximum.loss,
              2e-2 * maximum.loss);
}

TEST_P(StructuresTest, ClimbsFromStepToStepAndStays) {
  const Structure structure = GetParam();
  for (int draw = 0; draw < 6; ++draw) {
    Random random(53, draw);
    const ArrayXd e = RandomExponents(4, random);
    const Matrices w = RandomScatter(4, 6, 15, random);
    Matrices at = Compose(RandomParameters(structure, 4, 6, random));
    double value = Objective(e, w, at);
    const double first = value;
    for (int step = 0; step < 3; ++step) {
      at = Maximize(structure, e, w, at).covariances;
      const double higher = Objective(e, w, at);
      EXPECT_GE(higher, value - 1e-11 * std::abs(value));
      if (step > 0) {
        EXPECT_NEAR(higher, value, 1e-9 * std::abs(value));
      }
      value = higher;
    }
    EXPECT_GT(value, first);
  }
}

TEST_P(StructuresTest, TakesManyColumns) {
  const Structure structure = GetParam();
  const int dims = 40;
  Random random(59, 0);
  Matrices w = Compose(RandomParameters(structure, 3, dims, random));
  ArrayXd e(3);
  e << 200, 300, 50;
  for (int k = 0; k < 3; ++k) {
    const MatrixXd draws =
        Eigen::LLT<MatrixXd>(w[k]).matrixL() * RandomMatrix(dims, static_cast<int>(e(k)), random);
    w[k] = draws * draws.transpose();
  }
  const Maximum maximum = Maximize(structure, e, w, Identities(3, dims));
  const Parameters at = Decompose(structure, maximum.covariances);
  ExpectNear(Compose(at), maximum.covariances, 1e-8);
  const double value = Objective(e, w, maximum.covariances);
  for (int i = 0; i < 8; ++i) {
    const Matrices near = Compose(Moved(structure, at, i % 2 == 0 ? 1e-2 : 1e-4, random));
    EXPECT_LE(Objective(e, w, near), value + 1e-12 * std::abs(value));
  }
}

TEST_P(StructuresTest, StopsOnRequestAndNamesWhatIsNotFinite) {
  const std::vector<double> e = {1};
  std::vector<double> w = {1, 0, 0, 1};
  if (IsDiagonal(GetParam())) w.resize(2);
  std::vector<double> next(w.size());
  StructureProblem problem{.num_components = 1,
                           .num_columns = 2,
                           .exponents = e,
                           .scatter = w,
                           .current = w,
                           .floor = 0,
                           .stop = {}};
  std::stop_source source;
  source.request_stop();
  problem.stop = source.get_token();
  EXPECT_EQ(MaximizeStructure(GetParam(), problem, next).status().code(),
            absl::StatusCode::kCancelled);
  problem.stop = {};
  w[1] = std::numeric_limits<double>::quiet_NaN();
  const absl::Status status = MaximizeStructure(GetParam(), problem, next).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "scatter[1]: got nan, must be finite");
}

TEST(MaximizeStructure, SharesTheVolumeByHand) {
  // |W_1|^(1/2) = 2, |W_2|^(1/2) = 3, lambda = 5/4.
  ArrayXd e(2);
  e << 1, 3;
  const Matrices w = {Eigen::Vector2d(4, 1).asDiagonal(), Eigen::Vector2d(1, 9).asDiagonal()};
  for (const Structure structure : {Structure::kEVI, Structure::kEVE, Structure::kEVV}) {
    ExpectNear(
        Maximize(structure, e, w, Identities(2, 2)).covariances,
        {Eigen::Vector2d(2.5, 0.625).asDiagonal(), Eigen::Vector2d(5 / 12.0, 3.75).asDiagonal()},
        1e-12);
  }
  // One column: the pooled variance, or each its own.
  const Matrices column = {MatrixXd::Constant(1, 1, 2), MatrixXd::Constant(1, 1, 6)};
  for (const Structure structure : kAll) {
    const bool shared = Letter(structure, 0) == 'E';
    ExpectNear(Maximize(structure, e, column, Identities(2, 1)).covariances,
               {MatrixXd::Constant(1, 1, 2), MatrixXd::Constant(1, 1, 2)}, 1e-12);
    ExpectNear(Maximize(structure, ArrayXd::Ones(2), column, Identities(2, 1)).covariances,
               {MatrixXd::Constant(1, 1, shared ? 4 : 2), MatrixXd::Constant(1, 1, shared ? 4 : 6)},
               1e-12);
  }
}

TEST(MaximizeStructure, SharesTheShapeByHand) {
  // EEV: eigenvalues in order, (1 + 2, 4 + 9) / 4, along axes that are the components' own.
  ArrayXd e(2);
  e << 1, 3;
  const Matrices w = {Eigen::Vector2d(4, 1).asDiagonal(), Eigen::Vector2d(2, 9).asDiagonal()};
  ExpectNear(Maximize(Structure::kEEV, e, w, Identities(2, 2)).covariances,
             {Eigen::Vector2d(3.25, 0.75).asDiagonal(), Eigen::Vector2d(0.75, 3.25).asDiagonal()},
             1e-12);
  // VEI, e = (1, 1), W = (4, 1), (1, 4): by symmetry spheres of variance 5/2.
  const Matrices mirrored = {Eigen::Vector2d(4, 1).asDiagonal(),
                             Eigen::Vector2d(1, 4).asDiagonal()};
  ExpectNear(Maximize(Structure::kVEI, ArrayXd::Ones(2), mirrored, Identities(2, 2)).covariances,
             {2.5 * MatrixXd::Identity(2, 2), 2.5 * MatrixXd::Identity(2, 2)}, 1e-12);
}

TEST(MaximizeStructure, FollowsTheScalesOfColumnsWhereTheStructureDoes) {
  Random random(61, 0);
  const ArrayXd e = RandomExponents(3, random);
  const Matrices w = RandomScatter(3, 4, 12, random);
  const Eigen::Vector4d scale(1e-8, 1e8, 1, 1e-3);
  Matrices scaled;
  for (const MatrixXd& m : w) scaled.emplace_back(scale.asDiagonal() * m * scale.asDiagonal());
  for (const Structure structure :
       {Structure::kVEI, Structure::kEVI, Structure::kVEE, Structure::kEVV}) {
    const Matrices expected = Maximize(structure, e, w, Identities(3, 4)).covariances;
    const Eigen::Vector4d back = scale.cwiseInverse();
    Matrices actual;
    for (const MatrixXd& m : Maximize(structure, e, scaled, Identities(3, 4)).covariances) {
      actual.emplace_back(back.asDiagonal() * m * back.asDiagonal());
    }
    ExpectNear(actual, expected, 1e-8);
  }
}

TEST(MaximizeStructure, LetsACollapsedComponentLeaveTheShapeToOthers) {
  Random random(67, 0);
  for (const Structure structure : {Structure::kVEI, Structure::kVEE, Structure::kVEV}) {
    ArrayXd e(3);
    e << 30, 5, 20;
    Matrices w = RandomScatter(3, 3, 20, random);
    w[1] *= 1e-20;
    const Matrices free = Maximize(structure, e, w, Identities(3, 3)).covariances;
    const Maximum maximum = Maximize(structure, e, w, Identities(3, 3), 1e-9);
    ExpectNear({maximum.covariances[0], maximum.covariances[2]}, {free[0], free[2]}, 1e-9);
    EXPECT_NEAR(Smallest({maximum.covariances[1]}), 1e-9, 1e-15);
    EXPECT_NEAR(maximum.raised, 1e-9, 1e-12);
  }
}

TEST(MaximizeStructure, KeepsACommonVolumeUnderTheFloor) {
  // A component on a line would otherwise trade its width for length without end.
  ArrayXd e(2);
  e << 5, 20;
  const Matrices w = {Eigen::Vector2d(5, 0).asDiagonal(), Eigen::Vector2d(20, 40).asDiagonal()};
  for (const Structure structure : {Structure::kEVI, Structure::kEVE, Structure::kEVV}) {
    const Maximum maximum = Maximize(structure, e, w, Identities(2, 2), 0.01);
    const Parameters at = Decompose(structure, maximum.covariances);
    ExpectNear(Compose(at), maximum.covariances, 1e-9);
    EXPECT_NEAR(maximum.covariances[0](1, 1), 0.01, 1e-12);
    EXPECT_GT(maximum.raised, 0);
    // Along the structure, on the floor, nothing is higher.
    const double value = Objective(e, w, maximum.covariances);
    for (const double factor : {0.9, 0.999, 1.001, 1.1}) {
      Matrices near = maximum.covariances;
      near[0](0, 0) *= factor;
      near[1] *= std::sqrt(factor);
      EXPECT_LT(Objective(e, w, near), value);
    }
  }
}

TEST(MaximizeStructure, FindsAxesThatNoComponentTellsAlone) {
  // Two axes in each scatter are alike, other ones in each, and current is a sphere.
  Random random(71, 0);
  const MatrixXd axes = RandomRotation(3, 2, random);
  const std::vector<Eigen::Vector3d> variances = {{1, 1, 5}, {1, 4, 4}, {3, 1, 3}};
  Matrices w;
  for (const Eigen::Vector3d& v : variances) {
    w.emplace_back(10 * axes * v.asDiagonal() * axes.transpose());
  }
  Matrices expected = w;
  for (MatrixXd& m : expected) m /= 10;
  ExpectNear(Maximize(Structure::kVVE, ArrayXd::Constant(3, 10), w, Identities(3, 3)).covariances,
             expected, 1e-9);
}

TEST(SharedShapeSpectra, EndsWhereTheShapeHasNoMaximum) {
  // The first row drives its second column to nothing, and the other's first to infinity.
  Eigen::ArrayXXd w(2, 2);
  w << 1, 0, 1, 1;
  const Spectra free = SharedShapeSpectra(ArrayXd::Ones(2), w, 0);
  EXPECT_TRUE(free.variances.allFinite());
  const Spectra floored = SharedShapeSpectra(ArrayXd::Ones(2), w, 1e-3);
  EXPECT_LT(floored.variances.maxCoeff(), 1e3);
  EXPECT_GE(floored.variances.minCoeff(), 1e-3);
}

TEST(StructureParameters, AreThoseOfMclust) {
  // nVarParams(name, d = 3, G = 4) by its documented formulas.
  const std::vector<int64_t> expected = {6, 9, 9, 12, 15, 15, 18, 21};
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(StructureParameters(kAll[i], 4, 3), expected[i]) << StructureName(kAll[i]);
  }
  const std::vector<std::string> names = {"VEI", "EVI", "VEE", "EVE", "VVE", "EEV", "VEV", "EVV"};
  for (size_t i = 0; i < names.size(); ++i) EXPECT_EQ(StructureName(kAll[i]), names[i]);
}

TEST(Spectra, AVarianceThatOnlyTheCommonVolumeGivesCountsAsRaised) {
  ArrayXd exponents(2);
  exponents << 10, 10;
  Eigen::ArrayXXd scatter(2, 2);
  scatter << 1, 2, 3, 4;
  EXPECT_EQ(SharedVolumeSpectra(exponents, scatter, 1e-9).raised, 0);
  scatter(1, 0) = 1e-15;  // a component in one direction only
  const Spectra spectra = SharedVolumeSpectra(exponents, scatter, 1e-30);
  EXPECT_GT(spectra.variances(1, 0), 1e-12);
  EXPECT_EQ(spectra.raised, spectra.variances(1, 0));
}

}  // namespace
}  // namespace emserve
