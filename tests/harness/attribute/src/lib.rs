//! The attribute `#[test]` of `riposte-harness`, which documents it.

use proc_macro::{Delimiter, Group, TokenStream, TokenTree};

/// Registers a function without parameters as a test. `#[test(needs(SOMETHING))]` names statics of the type `riposte_harness::Need`;
/// below it, `#[should_panic]` and `#[should_panic(expected = "part of the message")]` mean what they mean to the compiler's own attribute.
#[proc_macro_attribute]
pub fn test(needs: TokenStream, function: TokenStream) -> TokenStream {
    let mut panics = TokenStream::new();
    let mut kept: Vec<TokenTree> = Vec::new();
    for token in function {
        match &token {
            TokenTree::Group(attribute) if is_should_panic(attribute) => {
                panics = attribute.stream();
                // The `#` before it.
                kept.pop();
            }
            _ => kept.push(token),
        }
    }
    let keyword = |token: &TokenTree| matches!(token, TokenTree::Ident(word) if word.to_string() == "fn");
    let name = kept.iter().skip_while(|token| !keyword(token)).nth(1).expect("a test is a function").clone();
    let arguments: TokenStream = [name.into(), needs, panics].into_iter().collect();
    let mut case: TokenStream = "::riposte_harness::case!".parse().expect("a path to a macro");
    case.extend([TokenTree::Group(Group::new(Delimiter::Brace, arguments))]);
    case.extend(kept);
    case
}

fn is_should_panic(attribute: &Group) -> bool {
    let first = attribute.stream().into_iter().next();
    attribute.delimiter() == Delimiter::Bracket && first.is_some_and(|word| word.to_string() == "should_panic")
}
