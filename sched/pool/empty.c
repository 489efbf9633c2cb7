// SPDX-License-Identifier: MPL-2.0
// A place-holder until the box has its first file.
typedef int skua__pool_is_empty;
