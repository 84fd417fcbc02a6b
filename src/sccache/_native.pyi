# What native/_native.c offers: twins of the same name, with the same methods.

from sccache.hashing.stamps import StampTable as StampTable
