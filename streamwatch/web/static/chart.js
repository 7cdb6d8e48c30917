// A running chart: values over their threshold, the threshold a line, what is over it in another colour.

export function draw(canvas, points, { seconds = 120, ceiling = 2 } = {}) {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  if (!width) return;
  if (canvas.width !== width * ratio) {
    canvas.width = width * ratio;
    canvas.height = height * ratio;
  }
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  const now = points.length ? points[points.length - 1].at : 0;
  const top = Math.max(ceiling, ...points.map((point) => point.value)) * 1.05;
  const x = (at) => width - ((now - at) / seconds) * width;
  const y = (value) => height - 1 - (value / top) * (height - 2);
  context.strokeStyle = colour("--soft");
  context.setLineDash([4, 4]);
  context.beginPath();
  context.moveTo(0, y(1));
  context.lineTo(width, y(1));
  context.stroke();
  context.setLineDash([]);
  context.lineWidth = 1.5;
  const [calm, over] = [colour("--good"), colour("--bad")];
  for (let number = 1; number < points.length; number += 1) {
    const [from, to] = [points[number - 1], points[number]];
    if (to.at - from.at > 5 || x(to.at) < 0) continue;
    context.strokeStyle = to.value >= 1 ? over : calm;
    context.beginPath();
    context.moveTo(x(from.at), y(from.value));
    context.lineTo(x(to.at), y(to.value));
    context.stroke();
  }
}
