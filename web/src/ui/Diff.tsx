/** A unified diff. What is added or taken out is told by its sign too, not by colour alone. */
export function Diff({
  label,
  lines,
}: {
  readonly label: string;
  readonly lines: readonly string[];
}) {
  return (
    <pre className="code diff" tabIndex={0} role="region" aria-label={label}>
      {lines.map((line, index) => (
        <span key={`${index} ${line}`} className={toneOf(line)}>
          {line}
          {"\n"}
        </span>
      ))}
    </pre>
  );
}

function toneOf(line: string): string | undefined {
  if (line.startsWith("@@")) return "dim";
  if (line.startsWith("+")) return "tone-good";
  return line.startsWith("-") ? "tone-bad" : undefined;
}
