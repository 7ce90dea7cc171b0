// The whole shim is one translation unit: most of a file's time to compile goes into libtorch's headers, and each new
// checkout compiles the shim again. The parts are named .hpp because the Go build cache watches those.
#include "autograd.hpp"
#include "fakequant.hpp"
#include "fused.hpp"
#include "memory.hpp"
#include "optim.hpp"
#include "quantlinear.hpp"
#include "runtime.hpp"
#include "value.hpp"
