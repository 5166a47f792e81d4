// The modified Bessel function I of any order, scaled so that nothing overflows, and the ratio of
// neighbours: what directional distributions are normalised by.
#ifndef EMSERVE_CORE_NUMERICS_BESSEL_H_
#define EMSERVE_CORE_NUMERICS_BESSEL_H_

namespace emserve {

// log(e^-x Gamma(nu + 1) (2 / x)^nu I_nu(x)) for nu >= 0 and x >= 0, both finite: 0 at x = 0, then
// falling. Its error is a few units in the last place of x + nu log(1 + x / nu), the larger of what
// it is made of. O(1): power series for small arguments (DLMF 10.25.2), else Debye's uniform
// expansion (DLMF 10.41.3), which in powers of 1 / sqrt(nu^2 + x^2) serves small orders too.
double LogReducedBesselI(double nu, double x);

// I_{nu+1}(x) / I_nu(x), which grows from 0 to 1 with x, and 1 minus it, for nu >= 0 and x >= 0,
// both finite. Relative errors of the ratio below 2e-15, of the complement, however small, below
// 1e-13. O(1), as above.
struct BesselRatio {
  double value = 0;
  double complement = 1;
};
BesselRatio BesselIRatio(double nu, double x);

}  // namespace emserve

#endif  // EMSERVE_CORE_NUMERICS_BESSEL_H_
