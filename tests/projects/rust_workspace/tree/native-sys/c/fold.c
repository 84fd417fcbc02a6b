#include "checksum.h"

uint32_t ws_fold(uint32_t value, uint8_t byte) { return (value ^ byte) * 16777619u; }
