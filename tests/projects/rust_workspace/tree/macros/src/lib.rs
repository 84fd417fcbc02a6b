//! Procedural macros: one that looks only at its input, one that reads a file below the crate that uses it.

use proc_macro::TokenStream;
use quote::quote;
use syn::{parse_macro_input, Data, DeriveInput, Fields, LitStr};

/// `Describe::describe()` names the type and its fields.
#[proc_macro_derive(Describe)]
pub fn derive_describe(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    let name = &input.ident;
    let (generics, types, bounds) = input.generics.split_for_impl();
    let fields: Vec<String> = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(named) => named.named.iter().map(|f| f.ident.as_ref().unwrap().to_string()).collect(),
            other => (0..other.len()).map(|n| n.to_string()).collect(),
        },
        Data::Enum(data) => data.variants.iter().map(|v| v.ident.to_string()).collect(),
        Data::Union(_) => Vec::new(),
    };
    quote! {
        impl #generics Describe for #name #types #bounds {
            fn describe() -> (&'static str, &'static [&'static str]) {
                (stringify!(#name), &[#(#fields),*])
            }
        }
    }
    .into()
}

/// The words of a file, read by the macro itself: the compiler knows nothing of it but by `include_bytes!` in the answer.
#[proc_macro]
pub fn words_of(input: TokenStream) -> TokenStream {
    let name = parse_macro_input!(input as LitStr).value();
    let home = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let path = std::path::Path::new(&home).join(&name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let words: Vec<&str> = text.split_whitespace().collect();
    let relative = format!("/{name}");
    quote! {
        {
            const _: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), #relative));
            &[#(#words),*]
        }
    }
    .into()
}
