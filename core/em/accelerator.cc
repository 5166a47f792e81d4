#include "core/em/accelerator.h"

#include <Eigen/Core>
#include <Eigen/QR>
#include <algorithm>
#include <cmath>
#include <deque>
#include <vector>

namespace emserve {
namespace {

// Varadhan & Roland (2008), scheme S3: from x0 over x1 and x2, with r = x1 - x0 and v = x2 - x1 -
// r, to x0 - 2 a r + a^2 v with a = -|r| / |v|. Every third step of the map starts from the
// proposal and steadies it.
class Squarem final : public Accelerator {
 public:
  bool Propose(std::span<const double> from, std::span<const double> image,
               std::span<double> proposal) override {
    switch (stage_) {
      case Stage::kFirst:
        x0_.assign(from.begin(), from.end());
        stage_ = Stage::kSecond;
        return false;
      case Stage::kSecond:
        stage_ = Stage::kSteady;
        return Extrapolate(from, image, proposal);
      case Stage::kSteady:
        // The proposal was taken: longer ones may be too.
        if (at_limit_) longest_ *= kGrowth;
        stage_ = Stage::kFirst;
        return false;
    }
    return false;
  }

  void Steadied() override {
    if (at_limit_) longest_ *= kGrowth;
    stage_ = Stage::kFirst;
  }

  void Refused() override {
    longest_ = std::max(1.0, longest_ / kGrowth);
    at_limit_ = false;
    stage_ = Stage::kFirst;
  }

 private:
  enum class Stage { kFirst, kSecond, kSteady };
  static constexpr double kGrowth = 2;  // of the longest step, whenever it was taken

  bool Extrapolate(std::span<const double> x1, std::span<const double> x2,
                   std::span<double> proposal) {
    double r_squares = 0;
    double v_squares = 0;
    for (size_t i = 0; i < x1.size(); ++i) {
      const double r = x1[i] - x0_[i];
      const double v = x2[i] - x1[i] - r;
      r_squares += r * r;
      v_squares += v * v;
    }
    const double wanted = v_squares > 0 ? std::sqrt(r_squares / v_squares) : 1;
    const double length = std::clamp(wanted, 1.0, longest_);
    at_limit_ = length == longest_;
    if (!(length > 1)) {  // x2 itself
      if (at_limit_) longest_ *= kGrowth;
      stage_ = Stage::kFirst;
      return false;
    }
    for (size_t i = 0; i < x1.size(); ++i) {
      const double r = x1[i] - x0_[i];
      const double v = x2[i] - x1[i] - r;
      proposal[i] = x0_[i] + 2 * length * r + length * length * v;
    }
    return true;
  }

  Stage stage_ = Stage::kFirst;
  double longest_ = 1;
  bool at_limit_ = false;
  std::vector<double> x0_;
};

// Walker & Ni (2011): with f = image - from and differences over the last steps, the combination of
// images whose f is least.
class Anderson final : public Accelerator {
 public:
  explicit Anderson(int depth) : depth_(static_cast<size_t>(depth)) {}

  bool Propose(std::span<const double> from, std::span<const double> image,
               std::span<double> proposal) override {
    const Eigen::Map<const Eigen::VectorXd> x(from.data(), static_cast<Eigen::Index>(from.size()));
    const Eigen::Map<const Eigen::VectorXd> g(image.data(), x.size());
    Eigen::VectorXd f = g - x;
    if (last_f_.size() == f.size()) {
      f_steps_.push_back(f - last_f_);
      g_steps_.push_back(g - last_g_);
      if (f_steps_.size() > depth_) {
        f_steps_.pop_front();
        g_steps_.pop_front();
      }
    }
    last_f_ = f;
    last_g_ = g;
    if (f_steps_.empty()) return false;
    Eigen::MatrixXd steps(x.size(), static_cast<Eigen::Index>(f_steps_.size()));
    for (size_t j = 0; j < f_steps_.size(); ++j) {
      steps.col(static_cast<Eigen::Index>(j)) = f_steps_[j];
    }
    Eigen::ColPivHouseholderQR<Eigen::MatrixXd> qr(steps.rows(), steps.cols());
    qr.setThreshold(kRankTolerance);
    qr.compute(steps);
    const Eigen::VectorXd gamma = qr.solve(f);
    if (!gamma.allFinite()) return false;
    Eigen::Map<Eigen::VectorXd> out(proposal.data(), x.size());
    out = g;
    for (size_t j = 0; j < g_steps_.size(); ++j) {
      out -= gamma(static_cast<Eigen::Index>(j)) * g_steps_[j];
    }
    return out.allFinite();
  }

  void Steadied() override { Refused(); }

  void Refused() override {
    f_steps_.clear();
    g_steps_.clear();
    last_f_.resize(0);
    last_g_.resize(0);
  }

 private:
  static constexpr double kRankTolerance = 1e-10;

  const size_t depth_;
  std::deque<Eigen::VectorXd> f_steps_;
  std::deque<Eigen::VectorXd> g_steps_;
  Eigen::VectorXd last_f_;
  Eigen::VectorXd last_g_;
};

}  // namespace

std::unique_ptr<Accelerator> MakeAccelerator(Acceleration acceleration, int anderson_depth) {
  switch (acceleration) {
    case Acceleration::kNone:
      return nullptr;
    case Acceleration::kSquarem:
      return std::make_unique<Squarem>();
    case Acceleration::kAnderson:
      return std::make_unique<Anderson>(anderson_depth);
  }
  return nullptr;
}

}  // namespace emserve
