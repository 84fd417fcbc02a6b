"""A gcc or clang command line that has to be observed, in the words of all observed families.

Owns: that translation.  Must not know: tables, how observing works.
"""

from sccache.compilers import concealing, languages
from sccache.compilers.observed import ObservedArguments
from sccache.compilers.options import clang_offload
from sccache.model import Language, Output, ParsedArguments


def from_parsed(family: str, parsed: ParsedArguments) -> ObservedArguments:
    """The same compile; where its dependency file and its targets are belongs to the key, as the file is kept as it is."""
    dep = parsed.depfile
    outputs = (*parsed.outputs, Output("d", dep.path)) if dep else parsed.outputs
    dep_args = ("dependencies", str(dep.system_headers), str(dep.phony), *dep.targets) if dep else ()
    return ObservedArguments(
        family=family,
        sources=(parsed.source,),
        outputs=outputs,
        made_in=parsed.made_in,
        key_args=(parsed.language.value, "c++" if parsed.plusplus else "c", *parsed.key_args, *dep_args),
        colour=parsed.colour,
        native_cpu=parsed.native_cpu,
        numbers_source=parsed.numbers_source,
        hides_paths=_conceals(parsed) or concealing.hides_paths((output.role for output in parsed.outputs), parsed.key_args),
        statistics_name=languages.statistics_name(parsed.language),
        advanced_name=f"{parsed.language.value} [{family}]",
    )


def _conceals(parsed: ParsedArguments) -> bool:
    """Whether code for GPUs has unseen names in it: fatbinary compresses, relocatable code's symbols are named by digests."""
    is_relocatable = not clang_offload.RELOCATABLE.isdisjoint(parsed.key_args)
    is_compressed = parsed.language in (Language.CUDA, Language.CUDA_PREPROCESSED) and parsed.debug_info
    return parsed.language in languages.OFFLOADING and (is_relocatable or is_compressed)
