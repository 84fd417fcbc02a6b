#include "checksum.h"

uint32_t ws_checksum(const uint8_t *bytes, size_t count) {
    uint32_t value = WS_SEED;
    for (size_t i = 0; i < count; i++)
        value = ws_fold(value, bytes[i]);
    return value;
}
