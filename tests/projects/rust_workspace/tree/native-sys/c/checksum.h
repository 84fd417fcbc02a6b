#ifndef WS_CHECKSUM_H
#define WS_CHECKSUM_H
#include <stddef.h>
#include <stdint.h>
#define WS_SEED 0x811c9dc5u
uint32_t ws_checksum(const uint8_t *bytes, size_t count);
uint32_t ws_fold(uint32_t value, uint8_t byte);
#endif
