// The inner loops: plain kernels over transposed blocks, vectorised over rows.
//
// A block holds columns of `stride` doubles; stride is a multiple of kRowPad, columns and scratch
// start at 64-byte boundaries, padding rows have value 0 and weight 0. Each kernel is compiled for
// several instruction sets with Google Highway and chosen at run time, so one binary runs anywhere
// and uses AVX2 or AVX-512 where present. Results are the same bits for the same instruction set,
// whatever the number of threads. No kernel allocates.
#ifndef EMSERVE_CORE_NUMERICS_KERNELS_H_
#define EMSERVE_CORE_NUMERICS_KERNELS_H_

#include <cstddef>
#include <cstdint>

namespace emserve {

// Rows to which every column is padded: whole vectors on every instruction set.
inline constexpr int kRowPad = 16;

// squares[i] = |L^-1 (x_i - mean)|^2, the squared Mahalanobis distance. `inv_chol` is L^-1, lower
// triangular, row-major [dims x dims], whose upper triangle is not read; `scratch` holds dims x
// stride doubles. O(stride dims^2 / 2) multiply-adds.
void WhitenedSquares(const double* x, int stride, int dims, const double* mean,
                     const double* inv_chol, double* scratch, double* squares);

// squares[i] = sum_d ((x_id - mean_d) inv_sd_d)^2. O(stride dims).
void DiagonalSquares(const double* x, int stride, int dims, const double* mean,
                     const double* inv_sd, double* squares);

// first[d] += sum_i resp_i (x_id - mean_d); second[a, b] += sum_i resp_i (x_ia - mean_a)(x_ib -
// mean_b) for b <= a, row-major [dims x dims], upper triangle untouched. Precondition: resp >= 0.
// `scratch` holds (dims + 1) x stride doubles. O(stride dims^2 / 2).
void AddScatter(const double* x, int stride, int dims, const double* mean, const double* resp,
                double* scratch, double* first, double* second);

// first[d] += sum_i resp_i (x_id - mean_d); second[d] += sum_i resp_i (x_id - mean_d)^2. O(stride
// dims).
void AddDiagonalMoments(const double* x, int stride, int dims, const double* mean,
                        const double* resp, double* first, double* second);

// squares[i] = log_norm - (nu + num_cells) / 2 log(1 + squares[i] / nu): in place from squared
// distances to log densities of Student's t. Preconditions: squares >= 0, nu > 0.
void TailLogDensities(double* squares, int stride, double nu, double num_cells, double log_norm);

// The rows' precision factors u_i = (nu + num_cells) / (nu + squares[i]): weighted[i] = resp_i u_i,
// and sums over rows. Preconditions as above.
struct TailSums {
  double precision = 0;  // of resp_i u_i
  double tail = 0;       // of resp_i (log u_i - u_i + 1), at most 0
};
TailSums WeighTails(const double* squares, const double* resp, int stride, double nu,
                    double num_cells, double* weighted);

// Log-sum-exp over components, row by row. `log_density` [components x stride] holds log p(x_i | k)
// and is overwritten with the posterior p(k | x_i); row_log_density[i] = log sum_k
// exp(log_weights_k + log p(x_i | k)). A row whose terms are all -infinity gets -infinity and
// posterior 0; a NaN term makes the row NaN. `log_weights` may hold -infinity.
void NormalizeLogDensities(double* log_density, int components, int stride,
                           const double* log_weights, double* row_log_density);

// Multiplies every row's posterior by its weight: resp[k, i] *= weights[i].
void ScaleRows(double* resp, int components, int stride, const double* weights);

// sum_i a_i over a column.
double Sum(const double* a, int stride);

// sum_i a_i b_i over a column, skipping entries whose b_i is 0 (so -infinity x 0 counts as 0).
double WeightedSum(const double* a, const double* b, int stride);

// Transposes [rows x columns] cells to doubles: out[c * stride + r] = cell (r, c). A row's cells
// are next to each other, rows are `row_bytes` apart; no alignment is required of `from`. Integers
// beyond 2^53 are rounded to the nearest double. Padding rows are not written.
void TransposeFloat64(const std::byte* from, int64_t row_bytes, int rows, int columns, double* out,
                      int stride);
void TransposeFloat32(const std::byte* from, int64_t row_bytes, int rows, int columns, double* out,
                      int stride);
void TransposeInt64(const std::byte* from, int64_t row_bytes, int rows, int columns, double* out,
                    int stride);

// Name of the instruction set in use, e.g. "AVX3" or "AVX2", for reports.
const char* KernelTarget();

}  // namespace emserve

#endif  // EMSERVE_CORE_NUMERICS_KERNELS_H_
