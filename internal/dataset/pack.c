#include "dataset/pack.h"

#include <string.h>

#define STATE_BITS 2

_Static_assert(VALUE_SET < 1 << STATE_BITS, "a state has its bits");

size_t
pack_bound(const struct value *value)
{
	size_t texts = value_has_text(value) ? value->len : 0;

	return 1 + sizeof value->uuid + PACK_NUMBER_MAX + texts;
}

unsigned char *
pack_number(unsigned char *at, uint64_t number)
{
	while (number >= 0x80) {
		*at++ = (unsigned char)(number | 0x80);
		number >>= 7;
	}
	*at++ = (unsigned char)number;
	return at;
}

const unsigned char *
unpack_number(const unsigned char *at, uint64_t *out)
{
	uint64_t number = 0;
	unsigned shift = 0;

	while (*at & 0x80) {
		number |= (uint64_t)(*at++ & 0x7F) << shift;
		shift += 7;
	}
	*out = number | (uint64_t)*at++ << shift;
	return at;
}

static unsigned char *
pack_bytes(unsigned char *at, const void *bytes, size_t len)
{
	if (len > 0)
		memcpy(at, bytes, len);
	return at + len;
}

unsigned char *
pack_value(unsigned char *at, const struct value *value)
{
	*at++ = (unsigned char)(value->type << STATE_BITS | value->state);
	if (value->state != VALUE_SET)
		return at;
	switch ((enum tally_type)value->type) {
	case TALLY_TEXT:
	case TALLY_DECIMAL:
		return pack_bytes(pack_number(at, value->len), value->text, value->len);
	case TALLY_UUID:
		return pack_bytes(at, value->uuid, sizeof value->uuid);
	case TALLY_FLOAT:
		return pack_bytes(at, &value->f, sizeof value->f);
	default:
		return pack_number(at, (uint64_t)value->i << 1 ^ (uint64_t)(value->i >> 63));
	}
}

static const unsigned char *
unpack_int(const unsigned char *at, int64_t *out)
{
	uint64_t number;

	at = unpack_number(at, &number);
	*out = (int64_t)(number >> 1 ^ (~(number & 1) + 1));
	return at;
}

const unsigned char *
unpack_value(const unsigned char *at, struct value *out)
{
	uint64_t len;

	*out = (struct value){ .type = *at >> STATE_BITS, .state = *at & ((1 << STATE_BITS) - 1) };
	at++;
	if (out->state != VALUE_SET)
		return at;
	switch ((enum tally_type)out->type) {
	case TALLY_TEXT:
	case TALLY_DECIMAL:
		at = unpack_number(at, &len);
		out->len = (uint32_t)len;
		out->text = (const char *)at;
		return at + len;
	case TALLY_UUID:
		memcpy(out->uuid, at, sizeof out->uuid);
		return at + sizeof out->uuid;
	case TALLY_FLOAT:
		memcpy(&out->f, at, sizeof out->f);
		return at + sizeof out->f;
	default:
		return unpack_int(at, &out->i);
	}
}
