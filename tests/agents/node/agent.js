// What OpenTelemetry's propagator reads in lines of baggage, and what it writes: see agents.py for the lines of text.
const { createInterface } = require('node:readline');
const { ROOT_CONTEXT, propagation } = require('@opentelemetry/api');
const { W3CBaggagePropagator } = require('@opentelemetry/core');

const propagator = new W3CBaggagePropagator();
const getter = { keys: () => ['baggage'], get: (lines) => (lines.length === 1 ? lines[0] : lines) };
const setter = { set: (carrier, name, value) => { carrier.written = value; } };
const hex = (text) => Buffer.from(text, 'utf8').toString('hex');

createInterface({ input: process.stdin }).on('line', (line) => {
  const [charset, ...parts] = line.split(' ');
  const encoding = charset === 'latin-1' ? 'latin1' : 'utf8';
  const lines = parts.map((part) => Buffer.from(part.slice(1), 'hex').toString(encoding));
  const context = propagator.extract(ROOT_CONTEXT, lines, getter);
  const carrier = { written: '' };
  propagator.inject(context, carrier, setter);
  const members = propagation.getBaggage(context)?.getAllEntries() ?? [];
  const answer = members.map(([name, { value }]) => ` -${hex(name)}=${hex(value)}`);
  process.stdout.write(`-${hex(carrier.written)}${answer.join('')}\n`);
});
