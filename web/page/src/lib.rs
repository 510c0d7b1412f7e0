use leptos as _;
