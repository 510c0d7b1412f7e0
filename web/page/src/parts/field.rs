//! Form fields: a name in the field's terms, a control, one line that says what it does.

use leptos::prelude::*;

/// A slider with its value beside it.
#[component]
pub fn Slide(
    label: &'static str,
    #[prop(into)] hint: Signal<&'static str>,
    #[prop(into)] value: Signal<f64>,
    #[prop(into)] shown: Signal<String>,
    #[prop(into)] range: Signal<(f64, f64, f64)>,
    set: impl Fn(f64) + 'static,
) -> impl IntoView {
    view! {
        <label class="field slide">
            <span class="name">{label}</span>
            // Not an `output`: the label would be of that instead of the slider, which says its value itself.
            <span class="shown" aria-hidden="true">{move || shown.get()}</span>
            <input
                type="range"
                min=move || range.get().0
                max=move || range.get().1
                step=move || range.get().2
                prop:value=move || value.get()
                aria-valuetext=move || shown.get()
                on:input:target=move |event| {
                    if let Ok(value) = event.target().value().parse() {
                        set(value);
                    }
                }
            />
            <span class="hint">{hint}</span>
        </label>
    }
}

/// A number typed in: kept when it means something, marked when it does not, until `value` is set anew.
#[component]
pub fn Number(
    #[prop(into)] label: String,
    #[prop(optional)] hint: &'static str,
    #[prop(into)] value: Signal<String>,
    /// Takes the text, or says what is wrong with it.
    set: impl Fn(&str) -> Result<(), String> + 'static,
) -> impl IntoView {
    // What was typed in vain, and why.
    let wrong = RwSignal::new(None::<(String, String)>);
    Effect::new(move |_| {
        value.track();
        wrong.set(None);
    });
    let take = move |text: String| wrong.set(set(text.trim()).err().map(|why| (text, why)));
    view! {
        <label class="field number">
            <span class="name">{label}</span>
            <input
                type="text"
                inputmode="decimal"
                autocomplete="off"
                prop:value=move || wrong.get().map_or_else(|| value.get(), |(text, _)| text)
                aria-invalid=move || wrong.with(Option::is_some).to_string()
                on:change:target=move |event| take(event.target().value())
            />
            <span class="hint">{move || wrong.get().map_or_else(|| hint.to_owned(), |(_, why)| why)}</span>
        </label>
    }
}

/// One of a few.
#[component]
pub fn Choice(
    #[prop(into)] label: String,
    #[prop(into, optional)] hint: Signal<String>,
    /// Values with their names.
    #[prop(into)]
    options: Signal<Vec<(String, String)>>,
    #[prop(into)] value: Signal<String>,
    set: impl Fn(String) + 'static,
) -> impl IntoView {
    view! {
        <label class="field choice">
            <span class="name">{label}</span>
            // What was refused is taken back.
            <select on:change:target=move |event| {
                set(event.target().value());
                event.target().set_value(&value.get_untracked());
            }>
                {move || {
                    let chosen = value.get();
                    options
                        .get()
                        .into_iter()
                        .map(|(key, name)| {
                            let selected = key == chosen;
                            view! { <option value=key selected=selected prop:selected=selected>{name}</option> }
                        })
                        .collect_view()
                }}
            </select>
            {move || Some(hint.get()).filter(|hint| !hint.is_empty()).map(|hint| view! { <span class="hint">{hint}</span> })}
        </label>
    }
}
