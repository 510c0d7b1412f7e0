// A theme asked for is also that of the ground the element stands on.

const theme = new URLSearchParams(location.search).get('theme');
if (theme === 'light' || theme === 'dark') document.documentElement.style.colorScheme = theme;
