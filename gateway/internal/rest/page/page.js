// Shows openapi.json, with a form to try each operation.
'use strict';

const make = (tag, text, parent) => {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  parent?.append(element);
  return element;
};

function field(form, name, note, value, multiline) {
  const label = make('label', `${name}: ${note}`, form);
  const input = make(multiline ? 'textarea' : 'input', undefined, label);
  if (multiline) input.rows = 4;
  input.value = value;
  return input;
}

function show(path, method, operation) {
  const section = make('section', undefined, document.getElementById('operations'));
  const heading = make('h2', undefined, section);
  make('span', method.toUpperCase(), heading);
  heading.append(' ' + path);
  make('p', operation.summary, section);
  const form = make('form', undefined, section);
  const inputs = (operation.parameters ?? []).map((parameter) => ({
    name: parameter.name, input: field(form, parameter.name, parameter.description ?? '', '', false),
  }));
  const content = operation.requestBody?.content['application/json'];
  const body = content && field(form, 'body', content.schema.description ?? 'JSON', JSON.stringify(content.example ?? {}, null, 2), true);
  make('button', 'Send', form);
  const output = make('pre', undefined, section);
  output.hidden = true;
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const query = new URLSearchParams(inputs.filter(({ input }) => input.value).map(({ name, input }) => [name, input.value]));
    const request = { method: method.toUpperCase(), headers: {} };
    if (body) {
      request.headers['Content-Type'] = 'application/json';
      request.body = body.value;
    }
    output.hidden = false;
    try {
      const response = await fetch(query.size ? `${path}?${query}` : path, request);
      const text = await response.text();
      let shown = text;
      try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* shown as it is */ }
      output.textContent = `${response.status}\n${shown}`;
    } catch (error) {
      output.textContent = String(error);
    }
  });
}

fetch('/api/openapi.json').then((response) => response.json()).then((api) => {
  document.getElementById('title').textContent = api.info.title;
  document.getElementById('description').textContent = api.info.description;
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(methods)) show(path, method, operation);
  }
});
