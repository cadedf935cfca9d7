/** A state as glyph, word and colour: no one of the three has to be seen to know it. */
const GLYPHS = {
  good: "M3 8.5l3.2 3.2L13 5",
  bad: "M4 4l8 8M12 4l-8 8",
  fault: "M8 2.5L14.5 13.5H1.5zM8 6.5v3.2M8 11.6v.1",
  warn: "M8 3v6M8 12.4v.1",
  active: "M8 2a6 6 0 1 1-6 6M8 5v3l2 1.5",
  calm: "M3 8h10",
} as const;

export type Tone = keyof typeof GLYPHS;

export function Glyph({ tone }: { readonly tone: Tone }) {
  return (
    <svg className="glyph" viewBox="0 0 16 16" aria-hidden="true">
      <path d={GLYPHS[tone]} />
    </svg>
  );
}

export function State({
  tone,
  word,
  title,
}: {
  readonly tone: Tone;
  readonly word: string;
  readonly title?: string;
}) {
  return (
    <span className={`state tone-${tone}`} title={title}>
      <Glyph tone={tone} />
      {word}
    </span>
  );
}
