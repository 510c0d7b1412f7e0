// The page for teachers: what its frame says, and buttons that copy code.

addEventListener('message', ({ data, source }) => {
  for (const frame of document.querySelectorAll('iframe.riposte')) {
    if (frame.contentWindow !== source) continue;
    if (data.type === 'riposte:height') frame.height = data.height;
    if (data.type === 'riposte:result') document.querySelector('#result').textContent = `act ${data.result.act} on ${data.result.index === null ? 'a picture of your own' : `test image ${data.result.index}`}`;
  }
});
for (const block of document.querySelectorAll('.code')) {
  const button = Object.assign(document.createElement('button'), { type: 'button', textContent: 'Copy' });
  button.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(block.querySelector('code').textContent);
      button.textContent = 'Copied';
    } catch {
      button.textContent = 'Select and copy by hand';
    }
  });
  block.append(button);
}
