# SPDX-License-Identifier: MIT
include eval_recipe.mk
