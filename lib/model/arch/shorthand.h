/* SPDX-License-Identifier: MIT
 *
 * Short words for the tables of the architectures.  Nobody else includes this.
 */
#ifndef REAP_SHORTHAND_H
#define REAP_SHORTHAND_H

#include "lib/model/arch/arch.h"

#define LAYER "model.layers.{layer}."
#define BF16 &reap_format_bf16
#define SMALL &reap_format_small
#define FINITE REAP_SPEC_FINITE
#define NOT_ZERO REAP_SPEC_NOT_ZERO
#define EXPERT REAP_SPEC_EXPERT
#define TURNED REAP_SPEC_TURNED
#define APART REAP_SPEC_APART
#define V REAP_DIM_VOCAB
#define H REAP_DIM_HIDDEN
#define HEADS REAP_DIM_HEADS
#define HEAD REAP_DIM_HEAD
#define Q REAP_DIM_Q
#define KV REAP_DIM_KV
#define E REAP_DIM_EXPERTS
#define I REAP_DIM_INTER
#define I2 REAP_DIM_INTER2

#endif
