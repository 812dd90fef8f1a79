(function(){postMessage(`from './nowhere.js' // no comment`)})();
//# sourceMappingURL=worker-isORJCk4.js.map